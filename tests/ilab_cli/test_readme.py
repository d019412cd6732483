"""The pages say what is so: their links lead somewhere, and what they show of the program is what it prints."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.programs import Ilab

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BAD = "extends: cpu_only\ntrain:\n  deepspeed:\n    quantize_dtype: nf4\n"


def block(title: str, language: str = "") -> str:
    """The first code block below a heading of the README."""
    section = README.partition(f"\n## {title}\n")[2]
    found = re.search(rf"```{language}\n(.*?)```", section, re.DOTALL)
    assert found
    return found[1]


def shown(command: str, title: str) -> str:
    """What the README shows below a command."""
    section = README.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    for text in re.findall(r"```\n(.*?)```", section, re.DOTALL):
        if found := re.search(rf"^\$ {re.escape(command)}\n(.*?)(?=^\$ |\Z)", text, re.DOTALL | re.MULTILINE):
            return str(found[1])
    raise AssertionError(command)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert not missing


def test_what_explain_prints(ilab: Ilab) -> None:
    command = "profile explain train.learning_rate --profile single_gpu"
    assert ilab(*command.split()).stdout == shown(f"ilab {command}", "On the command line")


def test_what_help_shows(ilab: Ilab) -> None:
    assert ilab("config", "init", "--profile", "cpu_only").returncode == 0
    printed = ilab("model", "train", "--help", COLUMNS="100").stdout
    for part in shown("ilab model train --help", "On the command line").split("  …\n"):
        assert part in printed


def test_what_validate_prints(ilab: Ilab, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(BAD, encoding="utf-8")
    printed = ilab("profile", "validate", "mine.yaml")
    assert printed.returncode == 2
    assert printed.stdout == shown("ilab profile validate mine.yaml", "In CI")


def test_the_python_runs_and_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text(BAD, encoding="utf-8")
    names: dict[str, Any] = {}
    exec(block("From Python", "python"), names)
    assert names["finding"].rule == "quantize-needs-lora"
    assert names["profile"].train.lora.lora_rank == 16


def test_the_yaml_is_a_profile(ilab: Ilab, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(block("In an editor", "yaml"), encoding="utf-8")
    assert ilab("profile", "schema", "--output", "profile.schema.json").returncode == 0
    assert ilab("profile", "validate", "--strict", "mine.yaml").returncode == 0
    assert (tmp_path / "profile.schema.json").exists()
