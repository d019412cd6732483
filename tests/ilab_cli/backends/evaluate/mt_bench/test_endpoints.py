"""Which model MT-Bench is about where it has one of its own or MMLU has, and what its server is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("aiohttp", reason="needs the extra `evaluate`")

from ilab_cli.backends.evaluate.launch import benchmark_findings, environment
from ilab_cli.backends.evaluate.model import Model
from ilab_cli.backends.evaluate.mt_bench.endpoints import own_model, to_serve
from ilab_cli.backends.evaluate.subject import subject
from ilab_cli.backends.hardware import usable_gpus
from ilab_cli.backends.serve.launch import command
from ilab_cli.backends.serve.launch import environment as of_server
from ilab_profiles import Evaluate
from ilab_profiles.models.config import Serve
from tests.ilab_cli.backends.evaluate.mt_bench.conftest import OURS


def settings(student: Path, mt: dict[str, Any] | None = None, **more: Any) -> Evaluate:
    mt = {"judge_endpoint": "127.0.0.1:9", "data_dir": str(OURS), **(mt or {})}
    given = {"benchmarks": ["mmlu", "mt_bench"], "model": str(student), "mt": mt}
    return Evaluate.model_validate({**given, **more})


def test_a_model_of_one_benchmark_is_not_that_of_the_other(student: Path, tmp_path: Path) -> None:
    for_mmlu = settings(student, mmlu={"model": str(tmp_path)})
    assert own_model(for_mmlu) == Model(str(student), str(student), None, str(student))
    assert own_model(settings(student)) is None


def test_a_model_of_its_own_does_not_stand_in_for_checkpoints(student: Path, tmp_path: Path) -> None:
    (checkpoint := tmp_path / "run" / "checkpoints" / "samples_0000016").mkdir(parents=True)
    (checkpoint / "training.json").write_text("{}")
    of_run: dict[str, Any] = {"model": None, "input_dir": str(tmp_path / "run"), "benchmarks": ["mt_bench"]}
    assert isinstance(subject(settings(student, **of_run)), list)
    found = subject(settings(student, mt={"model": str(student)}, **of_run))
    assert isinstance(found, Model)
    assert found.name == str(student)


def test_a_server_is_told_what_the_worker_was_told(student: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker sees two GPUs of those that this process sees; both are counted from 0."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,GPU-5,6,7")
    evaluate = settings(student, gpus="1,3")
    variables = environment(evaluate)
    assert variables["CUDA_VISIBLE_DEVICES"] == "GPU-5,7"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", variables["CUDA_VISIBLE_DEVICES"])
    whole = Model(str(student), str(student), None, str(student))
    assert of_server(*to_serve(evaluate, whole))["CUDA_VISIBLE_DEVICES"] == "GPU-5,7"
    on_cpu = settings(student, device="cpu")
    assert of_server(*to_serve(on_cpu, whole))["CUDA_VISIBLE_DEVICES"] == ""


def test_code_of_a_model_is_run_by_a_server_that_may(student: Path) -> None:
    serve = Serve(model_path=str(student))
    assert "--trust-remote-code" in command(serve, trust_remote_code=True)
    assert "--trust-remote-code" not in command(serve)


def test_a_gpu_that_is_not_there_is_missed_for_a_served_model_too(student: Path) -> None:
    if usable_gpus():
        pytest.skip("there is a GPU")
    served = settings(student, benchmarks=["mt_bench"], device="cuda")
    assert "evaluate.device" in {found.path for found in benchmark_findings(served)}
    asked = settings(student, benchmarks=["mt_bench"], device="cuda", mt={"endpoint": "127.0.0.1:9"})
    assert "evaluate.device" not in {found.path for found in benchmark_findings(asked)}
