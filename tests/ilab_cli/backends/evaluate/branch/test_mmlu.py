"""The same questions to the model before training and after, compared leaf by leaf."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lm_eval", reason="needs the extra `evaluate`")

from ilab_cli.backends.evaluate import launch
from ilab_cli.backends.evaluate.branch.mmlu import score, table
from ilab_cli.backends.evaluate.mmlu import ask
from ilab_cli.backends.evaluate.model import find_model
from ilab_profiles import Evaluate
from tests.ilab_cli.backends.evaluate.conftest import MakeTask


def settings(model: Path, base: Path, data: Path, out: Path) -> Evaluate:
    mmlu = {"data_dir": str(data), "few_shots": 0, "tasks": ["tides", "winds"]}
    given = {"benchmarks": "mmlu_branch", "model": str(model), "base_model": str(base), "output_dir": str(out)}
    return Evaluate.model_validate({**given, "mmlu": mmlu, "device": "cpu"})


def test_a_model_is_compared_with_itself(
    student: Path, make_task: MakeTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_task("winds")
    evaluate = settings(student, student, make_task().parent, tmp_path / "out")
    found = score(evaluate, find_model(evaluate), tmp_path / "out")
    assert found["leaves"].keys() == {"tides", "winds"}
    for part in (*found["leaves"].values(), found["all"]):
        assert (part["better"], part["worse"], part["p"], part["verdict"]) == (0, 0, 1.0, "unchanged")
    assert found["all"]["model"] == found["score"] == found["base"]["score"]
    assert "0 improved, 0 regressed, 2 unchanged" in table(found)
    monkeypatch.setattr(ask, "score", None)  # whoever goes on with the folder asks nobody again
    assert score(evaluate, find_model(evaluate), tmp_path / "out") == found


def test_the_base_model_is_looked_at_too(student: Path, make_task: MakeTask, tmp_path: Path) -> None:
    make_task("winds")
    evaluate: Any = settings(student, tmp_path / "gone", make_task().parent, tmp_path / "out")
    (found,) = launch.preflight(evaluate)
    assert (found.rule, found.path) == ("model-not-found", "evaluate.base_model")
