"""The demo's taxonomy is what its script writes, and its tasks ask what was taught in words that were not."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import pytest

from ilab_cli.backends.generate.qna import check
from tests.ilab_cli.backends.generate.conftest import Run, lines
from tests.programs import EXAMPLES, example

DEMO = EXAMPLES / "demo"


@pytest.fixture
def script() -> ModuleType:
    return example("demo/make_taxonomy.py")


def test_the_files_are_what_the_script_writes(script: ModuleType, tmp_path: Path) -> None:
    script.write(tmp_path)
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) == 9
    for path in written:
        assert path.read_bytes() == (DEMO / "taxonomy" / path.relative_to(tmp_path)).read_bytes()
    assert check([tmp_path]) == []


def test_what_is_asked_was_taught_in_other_words(script: ModuleType, run: Run, tmp_path: Path) -> None:
    script.write(tmp_path / "town")
    script.make_repository(tmp_path / "town" / "documents")
    assert run(taxonomy_path=str(tmp_path / "town"), num_instructions=900) == 0
    taught = [row["messages"] for row in lines(Path("generated/train_knowledge.jsonl"))]
    questions = {messages[0]["content"] for messages in taught}
    tasks = sorted(Path("generated/mmlu").glob("*.jsonl"))
    assert len(tasks) == 4
    for row in (json.loads(line) for path in tasks for line in path.read_text().splitlines()):
        assert row["question"] not in questions
        name = next(name for name in script.PEOPLE if name in row["question"].split())
        told = [
            choice
            for choice in row["choices"]
            if any(name in answer["content"] and choice in answer["content"] for _, answer in taught)
        ]
        assert told == [row["choices"][row["answer"]]]
