from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from ilab_cli.backends.serve import servers
from ilab_cli.backends.serve.launch import preflight
from ilab_profiles.models.config import Serve

Settings = Callable[..., Serve]


@pytest.fixture(autouse=True)
def _transformers_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is installed here, transformers counts as installed, and nothing else does."""
    monkeypatch.setattr(servers, "_NEEDED", ())
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(servers, "_GPU_DEVICES", ("no-such-device",))


def rules(serve: Serve) -> list[str]:
    return [finding.rule for finding in preflight(serve)]


def test_a_sound_model_has_no_findings(settings: Settings) -> None:
    assert preflight(settings()) == []


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("config.json", "not-a-model"),
        ("model.safetensors", "no-weights"),
        ("tokenizer.json", "no-tokenizer"),
        ("tokenizer_config.json", "no-chat-template"),
        ("generation_config.json", "always-the-same-answer"),
    ],
)
def test_each_missing_file_is_told(settings: Settings, folder: Path, name: str, rule: str) -> None:
    (folder / name).unlink()
    assert rules(settings()) == [rule]


def test_everything_is_told_at_once(settings: Settings, folder: Path, port: int) -> None:
    for name in ("model.safetensors", "tokenizer.json"):
        (folder / name).unlink()
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        assert rules(settings(gpu_layers=4)) == ["port-in-use", "no-weights", "no-tokenizer", "setting-not-used"]
    assert rules(settings(host_port="nowhere"))[0] == "bad-address"


def test_lost_shards_and_broken_files_are_told(settings: Settings, folder: Path) -> None:
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "model.safetensors", "b": "model-2.safetensors"}}))
    (finding,) = preflight(settings())
    assert finding.rule == "model-incomplete"
    assert "model-2.safetensors" in finding.message
    for text in ("[]", "{", '{"weight_map": 3}', "[" * 100_000):
        index.write_text(text)
        (finding,) = preflight(settings())
        assert finding.rule == "bad-model-file"
        assert finding.position
        assert finding.position.source == str(index)


def test_hints_name_what_was_meant(settings: Settings, folder: Path, tmp_path: Path) -> None:
    finding = preflight(settings(model_path=str(tmp_path)))[0]  # it holds a folder "model", as a run's does
    assert finding.rule == "not-a-model"
    assert finding.hint.endswith(str(folder))
    (folder / "config.json").unlink()
    (folder / "big.gguf").touch()
    assert preflight(settings())[0].hint.endswith("big.gguf")
    (folder / "adapter_config.json").touch()
    assert "LoRA adapter" in preflight(settings())[0].hint


def test_of_a_folder_that_is_no_model_nothing_else_is_told(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert rules(settings(model_path=str(tmp_path / "empty"))) == ["not-a-model"]


def test_files_that_are_no_models_are_refused(settings: Settings, tmp_path: Path) -> None:
    assert rules(settings(model_path=str(tmp_path / "absent"))) == ["model-not-found"]
    text = tmp_path / "model.txt"
    text.write_text("GGUF")
    assert rules(settings(model_path=str(text))) == ["not-a-model"]
    broken = tmp_path / "broken.gguf"
    broken.write_text("<html>")
    assert rules(settings(model_path=str(broken))) == ["not-a-model", "server-not-installed"]


def test_a_path_that_transformers_serve_misreads_is_refused(settings: Settings, folder: Path) -> None:
    moved = folder.rename(folder.with_name("model@home"))
    assert rules(settings(model_path=str(moved))) == ["bad-model-path"]
