"""What the tests of evaluation share: a tiny student made on the spot, and folders of task files."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[4]
TASK = """\
task: {name}
dataset_path: json
dataset_kwargs:
  data_files:
    test: {name}.jsonl
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}\\nAnswer:"
doc_to_choice: ["A", "B", "C", "D"]
doc_to_target: answer
"""

MakeTask = Callable[..., Path]


@pytest.fixture(scope="session")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder, made by the example that users run."""
    pytest.importorskip("lm_eval", reason="needs the extra `evaluate`")
    out = tmp_path_factory.mktemp("student") / "model"
    subprocess.run([sys.executable, ROOT / "examples" / "tiny_student.py", out], check=True, capture_output=True)
    return out


@pytest.fixture
def make_task(tmp_path: Path) -> MakeTask:
    """Write a task file and its questions to a folder ``tasks``; returns the task file."""
    pytest.importorskip("jinja2", reason="needs the extra `evaluate`")

    def make(name: str = "tides", more: str = "", rows: list[dict[str, Any]] | None = None, folder: str = "") -> Path:
        place = tmp_path / "tasks" / folder
        place.mkdir(parents=True, exist_ok=True)
        path = place / f"{name}.yaml"
        path.write_text(TASK.format(name=name) + more)
        rows = rows if rows is not None else [{"question": f"Tide {i}?", "answer": i % 4} for i in range(4)]
        (place / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    return make
