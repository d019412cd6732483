"""The demo's data are what their script writes, and its test asks what was taught in words that were not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.programs import EXAMPLES, example

DEMO = EXAMPLES / "demo"


@pytest.fixture
def script() -> ModuleType:
    return example("demo/make_data.py")


def test_the_files_are_what_the_script_writes(script: ModuleType, tmp_path: Path) -> None:
    script.write(tmp_path)
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) == 5
    for path in written:
        assert path.read_bytes() == (DEMO / path.relative_to(tmp_path)).read_bytes()


def test_what_is_asked_was_taught_in_other_words(script: ModuleType) -> None:
    taught = [row["messages"] for row in map(json.loads, (DEMO / "train.jsonl").read_text().splitlines())]
    questions = {message[0]["content"] for message in taught}
    facts = {
        (name, message[1]["content"]) for message in taught for name in script.PEOPLE if name in message[0]["content"]
    }
    assert len(facts) == 48
    for path in sorted((DEMO / "mmlu").glob("*.jsonl")):
        for row in map(json.loads, path.read_text().splitlines()):
            name = next(name for name in script.PEOPLE if name in row["question"])
            assert row["question"] not in questions
            assert len(set(row["choices"])) == 4
            assert [(name, choice) in facts for choice in row["choices"]].index(True) == row["answer"]


def test_the_student_is_the_same_every_time(student: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, EXAMPLES / "tiny_student.py", tmp_path], check=True, capture_output=True)
    for path in student.iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()
