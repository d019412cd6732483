"""Each file is read at most once a command, however many parts of the program ask for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from ilab_profiles.catalog import built_in_files
from ilab_profiles.edit import render_config

ROOT = Path(__file__).parents[2]
COUNT = """
import atexit, json
from ilab_cli.app import main
from ilab_profiles.yaml import read
parsed, parse = [], read.parse
read.parse = lambda text, source="": (parsed.append(source), parse(text, source))[1]
atexit.register(lambda: print(json.dumps(parsed), file=open("parsed.txt", "w")))
main()
"""


def files_read(folder: Path, command: str, **variables: str) -> Counter[str]:
    """How often a command parses each file of settings."""
    usual = {name: value for name, value in os.environ.items() if not name.startswith("ILAB_")}
    subprocess.run(
        [sys.executable, "-c", COUNT, *command.split()],
        cwd=folder,
        env=usual | {"PYTHONPATH": str(ROOT), "ILAB_PROFILE_DIR": str(folder / "own")} | variables,
        capture_output=True,
        check=False,
        timeout=60,
    )
    return Counter(os.path.realpath(folder / name) for name in json.loads((folder / "parsed.txt").read_text()))


@pytest.mark.parametrize(
    "command",
    [
        "config show",
        "config show --json",
        "config validate",
        "model train --dry-run",
        "model train --num-epochs 3 --help",
        "model evaluate --benchmarks mmlu --dry-run",
        "model serve --dry-run",
        "data generate --dry-run",
        "data mix --dry-run",
        "profile show",
        "profile list",
        "profile validate",
        "profile validate own/mine.yaml config.yaml single_gpu",
        "profile explain train.num_epochs",
        "profile diff mine single_gpu",
        "system info",
    ],
)
def test_a_command_reads_each_file_at_most_once(tmp_path: Path, command: str) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "mine.yaml").write_text("extends: single_gpu\ntrain: {num_epochs: 3}\n")
    (tmp_path / "config.yaml").write_text(render_config("single_gpu").replace("single_gpu", "mine"))
    found = files_read(tmp_path, command)
    assert found
    assert set(found.values()) == {1}, {name: times for name, times in found.items() if times > 1}


def test_listing_profiles_reads_each_of_them_once(tmp_path: Path) -> None:
    found = files_read(tmp_path, "profile list")
    assert found == Counter(os.path.realpath(path) for path in built_in_files().values())
