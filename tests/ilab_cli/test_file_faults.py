"""Whatever the file system refuses: one finding that names the file and the reason, exit code 2, and nothing written.

Each row of the table is a place where a command opens or makes something; each is tried with every fault that fits.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.programs import Ilab

for module in ("aiohttp", "jinja2", "torch", "lm_eval", "prompt_toolkit"):
    pytest.importorskip(module, reason="needs all extras")

LONG = "x" * 300
FILES = {"a pipe": "pipe", "links in a circle": "circle", "a long name": LONG, "a folder": "folder"}
PLACES = {"a pipe": "pipe.yaml/below", "links in a circle": "circle/below", "a long name": LONG, "a file": "file/below"}
PLACES["no place for files"] = "/proc/below"

READ = {
    "profile": "profile validate {}.yaml",
    "profile to run": "model train --profile {}.yaml --dry-run",
    "settings": "model train --config {}.yaml",
    "config.yaml": "config validate {}.yaml",
    "recipe": "data mix --knowledge-recipes {}.yaml",
    "pipeline": "data generate --taxonomy-path . --config {}.yaml",
    "taxonomy": "data validate {}",
    "data": "model train --model-path student --data-path {}.jsonl",
    "model to train": "model train --data-path data.jsonl --model-path {}",
    "model to score": "model evaluate --benchmarks mmlu --data-dir . --model {}",
    "questions": "model evaluate --benchmarks mmlu --model student --data-dir {}",
    "session": "model chat --endpoint-url http://127.0.0.1:1 --session {}.json",
    "older file": "config migrate {}.yaml",
}
WRITTEN = {
    "run of training": "model train --model-path student --data-path data.jsonl --output-dir {}",
    "run of mixing": "data mix --knowledge-recipes recipe.yaml --output-dir {}",
    "run of generation": "data generate --taxonomy-path . --taxonomy-base empty --output-dir {}",
    "scores": "model evaluate --benchmarks mmlu --model student --data-dir . --output-dir {}",
    "chats": "model chat --endpoint-url http://127.0.0.1:1 --logs-dir {}",
    "profile": "profile init {}/mine.yaml --extends cpu_only",
    "schema": "profile schema --output {}/schema.json",
    "migrated": "config migrate old.yaml --output-dir {}",
}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Files and folders with faults, and what the commands need beside them."""
    for suffix in ("", ".yaml", ".json", ".jsonl"):
        os.mkfifo(tmp_path / f"pipe{suffix}")
        (tmp_path / f"circle{suffix}").symlink_to(f"circle{suffix}")
        (tmp_path / f"folder{suffix}").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "data.jsonl").write_text(
        '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}\n'
    )
    (tmp_path / "recipe.yaml").write_text("datasets: [{path: data.jsonl, sampling_size: 1.0}]\n")
    (tmp_path / "old.yaml").write_text("version: 1.0.0\ntrain: {nproc_per_node: 1}\n")
    return tmp_path


def refused(ilab: Ilab, place: Path, command: str, name: str) -> None:
    before = sorted(place.rglob("*"))
    done = ilab(*command.format(name).split())
    said = done.stderr + done.stdout
    assert done.returncode == 2, said
    assert "error[" in said
    assert not [word for word in ("Traceback", "[Errno", "Error:", "ilab failed") if word in said], said
    assert name.partition("/")[0][:50] in said
    assert sorted(place.rglob("*")) == before


@pytest.mark.parametrize("fault", FILES)
@pytest.mark.parametrize("kind", READ)
def test_what_cannot_be_read_is_named(ilab: Ilab, place: Path, kind: str, fault: str) -> None:
    if fault == "a folder" and kind in ("taxonomy", "data", "questions", "model to train", "model to score"):
        pytest.skip("a folder will do there; what it lacks is told by others")
    refused(ilab, place, READ[kind], FILES[fault])


@pytest.mark.parametrize("fault", PLACES)
@pytest.mark.parametrize("kind", WRITTEN)
def test_where_nothing_can_be_written_is_named(ilab: Ilab, place: Path, kind: str, fault: str) -> None:
    refused(ilab, place, WRITTEN[kind], PLACES[fault])
