"""What can be known before the start is said before the start, and the launcher stays light and keeps its secrets."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ilab_cli.backends.evaluate.launch import command, environment, preflight
from ilab_profiles import Evaluate
from tests.ilab_cli.backends.evaluate.conftest import ROOT, MakeTask


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder that looks like a model; nothing loads it."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "tokenizer.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"\2\0\0\0\0\0\0\0{}")
    return folder


def settings(model: object, data: Path, **more: Any) -> Evaluate:
    mmlu = {"data_dir": str(data), "few_shots": 0, "tasks": ["tides"], **more.pop("mmlu", {})}
    return Evaluate.model_validate({"benchmarks": ["mmlu"], "model": str(model), "mmlu": mmlu, **more})


def rules(evaluate: Evaluate) -> list[str]:
    return [finding.rule for finding in preflight(evaluate)]


def test_sound_settings_pass_and_nothing_is_written(model: Path, make_task: MakeTask, tmp_path: Path) -> None:
    pytest.importorskip("lm_eval", reason="needs the extra `evaluate`")
    folder = make_task().parent
    before = sorted(tmp_path.rglob("*"))
    assert preflight(settings(model, folder, output_dir=str(tmp_path / "new" / "out"))) == []
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("choice", [{"device": "cuda"}, {"gpus": "0"}])
def test_hardware_that_is_not_there_is_refused_before_anything_is_loaded(
    model: Path, make_task: MakeTask, choice: dict[str, str]
) -> None:
    pytest.importorskip("lm_eval", reason="needs the extra `evaluate`")
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    (finding,) = preflight(settings(model, make_task().parent, **choice))
    assert (finding.rule, dict(finding.fix)) == ("device", {"evaluate.device": "cpu", "evaluate.gpus": "-1"})


def test_a_run_folder_and_a_hub_name_are_models(model: Path, make_task: MakeTask) -> None:
    folder = make_task().parent
    assert rules(settings(model.parent, folder)) == []
    assert rules(settings("some-org/some-model", folder)) == []


def test_everything_is_said_at_once(model: Path, make_task: MakeTask, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    evaluate = settings(
        tmp_path / "gone",
        make_task().parent,
        benchmarks=["mmlu", "mt"],
        mt={"endpoint": "localhost:1", "data_dir": str(tmp_path / "file")},
        output_dir=str(tmp_path / "file" / "out"),
        mmlu={"tasks": ["tide"]},
    )
    expected = ["model-not-found", "unknown-task", "unreadable-file", "unreadable-file", "endpoint-away"]
    expected.append("not-a-folder")
    assert rules(evaluate) == expected


@pytest.mark.parametrize(
    ("name", "content", "rule"),
    [
        ("config.json", "{", "bad-model-file"),
        ("config.json", "[]", "bad-model-file"),
        ("config.json", None, "not-a-model"),
        ("model.safetensors", None, "no-weights"),
        ("model.safetensors", "cut short", "model-incomplete"),
        ("model.safetensors.index.json", '{"weight_map": {"a": "model-2.safetensors"}}', "model-incomplete"),
        ("model.safetensors.index.json", "[]", "bad-model-file"),
        ("tokenizer.json", None, "no-tokenizer"),
        ("adapter_config.json", '{"base_model_name_or_path": "gone"}', "no-base-model"),
    ],
)
def test_folders_that_are_no_model(model: Path, make_task: MakeTask, name: str, content: str | None, rule: str) -> None:
    (model / name).unlink() if content is None else (model / name).write_text(content)
    assert rules(settings(model, make_task().parent)) == [rule]


def test_a_chat_template_is_needed_where_it_is_wanted(model: Path, make_task: MakeTask) -> None:
    evaluate = settings(model, make_task().parent, mmlu={"apply_chat_template": True})
    assert rules(evaluate) == ["no-chat-template"]
    (model / "chat_template.jinja").write_text("{{ messages }}")
    assert rules(evaluate) == []


def test_of_a_training_in_phases_one_model_has_to_be_named(model: Path, make_task: MakeTask, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    for phase in ("phase00", "phase01"):
        (tmp_path / "run" / phase).mkdir()
        (tmp_path / "run" / phase / "model").symlink_to(model)
    (finding,) = preflight(settings(tmp_path / "run", make_task().parent))
    assert finding.rule == "not-a-model"
    assert finding.hint.endswith(f"{tmp_path}/run/phase00/model, {tmp_path}/run/phase01/model")


def test_no_model_is_named(make_task: MakeTask) -> None:
    evaluate = Evaluate.model_validate({"benchmarks": ["mmlu"], "mmlu": {"data_dir": str(make_task().parent)}})
    assert "no-model" in rules(evaluate)


def test_the_command_holds_the_settings_but_no_key(tmp_path: Path) -> None:
    evaluate = settings("m", tmp_path, gpus="0-1", mt={"api_key": "hush", "endpoint": "http://x"})
    *start, text = command(evaluate)
    assert start == [sys.executable, "-m", "ilab_cli.backends.evaluate.worker", "--settings"]
    assert "hush" not in text
    assert "*" not in text
    again = Evaluate.model_validate(json.loads(text))
    assert (again.gpus, again.mmlu, again.mt.endpoint, again.mt.api_key) == ((0, 1), evaluate.mmlu, "http://x", None)


def test_the_environment(model: Path, tmp_path: Path) -> None:
    assert environment(settings(model, tmp_path, gpus="1,3"))["CUDA_VISIBLE_DEVICES"] == "1,3"
    assert environment(settings(model, tmp_path, gpus=-1))["CUDA_VISIBLE_DEVICES"] == ""
    assert environment(settings(model, tmp_path, device="cpu"))["CUDA_VISIBLE_DEVICES"] == ""
    free = environment(settings("some-org/some-model", tmp_path))
    assert "CUDA_VISIBLE_DEVICES" not in free
    assert "HF_HUB_OFFLINE" not in free
    assert environment(settings(model, tmp_path))["HF_HUB_OFFLINE"] == "1"


def test_the_launcher_imports_nothing_heavy() -> None:
    code = "import sys, ilab_cli.backends.evaluate.launch; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {"torch", "transformers", "lm_eval", "datasets", "jinja2", "numpy"} & set(done.stdout.split())


def test_tasks_of_lm_eval_may_reach_the_hub(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ilab_cli.backends.evaluate.mmlu import hub

    evaluate = settings(model, tmp_path, mmlu={"data_dir": None, "tasks": ["mmlu"]})
    monkeypatch.setattr(hub, "is_offline", lambda: False)
    assert "HF_HUB_OFFLINE" not in environment(evaluate)
    monkeypatch.setattr(hub, "is_offline", lambda: True)
    assert environment(evaluate)["HF_DATASETS_OFFLINE"] == "1"
