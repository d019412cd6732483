"""What the tests of MT-Bench share: our own questions in a folder to spoil, and settings that ask an endpoint."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ilab_profiles import Evaluate
from tests.ilab_cli.backends.endpoint import Body
from tests.programs import EXAMPLES

OURS = EXAMPLES / "demo" / "mt_bench"
Settings = Callable[..., Evaluate]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A copy of our own questions."""
    folder = tmp_path / "data"
    shutil.copytree(OURS, folder)
    return folder


@pytest.fixture
def settings(data: Path, tmp_path: Path) -> Settings:
    """Makes settings for an endpoint that is the model and the judge, with others of ``mt`` given by keyword."""

    def build(endpoint: str | None, **mt: Any) -> Evaluate:
        mt = {"endpoint": endpoint, "judge_model": "judge", "data_dir": str(data), "max_retries": 0, **mt}
        given = {"benchmarks": ["mt_bench"], "output_dir": str(tmp_path / "out"), "mt": mt}
        return Evaluate.model_validate(given)

    return build


def is_judge(body: Body) -> bool:
    return bool(body["model"] == "judge")


def rows(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def write_rows(file: Path, content: list[Any]) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in content), encoding="utf-8")
