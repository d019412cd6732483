"""Fixtures of the serving tests: a tiny model made on the spot, a free port, programs put on the path."""

from __future__ import annotations

import os
import shutil
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ilab_profiles.models.config import Serve


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of one layer with a tokenizer and a chat template."""
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from examples.tiny_student import make

    folder = tmp_path_factory.mktemp("served") / "model"
    make(folder, ["one two three four five"] * 9, hidden_size=16, layers=1, vocab_size=300)
    return folder


@pytest.fixture
def port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as attempt:
        attempt.bind(("127.0.0.1", 0))
        return int(attempt.getsockname()[1])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that has the files of a model, with next to nothing in them; enough for looking at it."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "llama"}')
    (folder / "generation_config.json").write_text('{"do_sample": true}')
    (folder / "tokenizer_config.json").write_text('{"chat_template": "{{ messages }}"}')
    (folder / "tokenizer.json").touch()
    (folder / "model.safetensors").write_bytes(b"\2\0\0\0\0\0\0\0{}")
    return folder


@pytest.fixture
def gguf(tmp_path: Path) -> Path:
    file = tmp_path / "model.gguf"
    file.write_bytes(b"GGUF\x03\x00\x00\x00")
    return file


@pytest.fixture
def settings(folder: Path, port: int) -> Callable[..., Serve]:
    """Makes a ``Serve`` for the folder at the free port, with other values given by keyword."""

    def build(**changes: Any) -> Serve:
        return Serve.model_validate({"model_path": str(folder), "host_port": f"127.0.0.1:{port}"} | changes)

    return build


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Puts an executable of this name, a Python script of this text, on the path."""

    def install(name: str, text: str = "") -> Path:
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        file = folder / name
        file.write_text(f"#!{sys.executable}\n{text}")
        file.chmod(0o755)
        assert shutil.which(name) == str(file)
        return file

    return install
