from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ilab_cli.backends.serve import launch, servers
from ilab_profiles import Generate, InputError
from ilab_profiles.models.config import Serve

Settings = Callable[..., Serve]
Program = Callable[..., Path]


def pairs(command: list[str]) -> set[tuple[str, str]]:
    return set(itertools.pairwise(command))


def using(gpus: object) -> Generate:
    return Generate.model_validate({"gpus": gpus})


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take a device that every machine has for a GPU."""
    monkeypatch.setattr(servers, "_GPU_DEVICES", ("null",))


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "_GPU_DEVICES", ("no-such-device",))


def test_a_gguf_file_goes_to_llama_cpp(settings: Settings, gguf: Path, port: int, program: Program) -> None:
    server = program("llama-server")
    serve = settings(model_path=str(gguf), max_ctx_size=77)
    assert launch.preflight(serve) == []
    assert launch.choose(serve).name == "llama.cpp"
    command = launch.command(serve)
    assert command[0] == str(server)
    assert pairs(command) >= {("--model", str(gguf)), ("--port", str(port)), ("--ctx-size", "77")}
    assert ("--n-gpu-layers", "999") in pairs(command)
    assert ("--n-gpu-layers", "5") in pairs(launch.command(settings(model_path=str(gguf), gpu_layers=5)))
    assert ("--n-gpu-layers", "0") in pairs(launch.command(serve, using(-1)))


def test_without_llama_cpp_a_gguf_file_is_refused(
    settings: Settings, gguf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    (finding,) = launch.preflight(settings(model_path=str(gguf)))
    assert finding.rule == "server-not-installed"
    assert "llama-server is not on the PATH" in str(finding)
    assert dict(launch.available())["llama.cpp"]


@pytest.mark.usefixtures("gpu")
def test_vllm_is_taken_where_it_is_and_a_gpu_is(settings: Settings, folder: Path, program: Program) -> None:
    server = program("vllm")
    serve = settings(max_ctx_size=99)
    assert launch.choose(serve).name == "vLLM"
    assert dict(launch.available())["vLLM"] == ""
    command = launch.command(serve)
    assert command[:3] == [str(server), "serve", str(folder)]
    assert ("--max-model-len", "99") in pairs(command)
    assert "--tensor-parallel-size" not in command
    two = using("0,3")
    assert ("--tensor-parallel-size", "2") in pairs(launch.command(serve, two))
    assert launch.environment(serve, two)["CUDA_VISIBLE_DEVICES"] == "0,3"
    assert [f.rule for f in launch.preflight(settings(gpu_layers=3))] == ["setting-not-used"]


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize(("layers", "gpus"), [(0, None), (-1, -1)])
def test_without_gpu_the_model_stays_with_transformers(
    settings: Settings, program: Program, layers: int, gpus: int | None
) -> None:
    pytest.importorskip("fastapi")
    program("vllm")
    serve, generate = settings(gpu_layers=layers), using(gpus)
    choice = launch.choose(serve, generate.gpus)
    assert choice == servers.Choice("transformers", "not vLLM, because the GPU is switched off")
    assert ("--device", "cpu") in pairs(launch.command(serve, generate))
    assert launch.environment(serve, generate)["CUDA_VISIBLE_DEVICES"] == ""


@pytest.mark.usefixtures("no_gpu")
def test_transformers_is_the_last_choice(settings: Settings, folder: Path, program: Program, port: int) -> None:
    pytest.importorskip("fastapi")
    program("vllm")
    choice = launch.choose(settings())
    assert choice == servers.Choice("transformers", "not vLLM, because no GPU found")
    assert launch.command(settings()) == [
        *(sys.executable, "-m", "transformers.cli.transformers", "serve", str(folder)),
        *("--host", "127.0.0.1", "--port", str(port)),
    ]
    assert "ignores n, logprobs and response_format" in launch.LIMITS[choice.name]


@pytest.mark.usefixtures("no_gpu")
def test_a_missing_extra_is_one_clear_line(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "_NEEDED", ("json", "no_such_module"))
    (finding,) = launch.preflight(settings())
    assert str(finding) == (
        "error[extra-not-installed] ilab model serve cannot use transformers: not installed: no_such_module\n"
        '    hint: python3 -m pip install "ilab-profiles[serve]"'
    )
    with pytest.raises(InputError), launch.running(settings()):
        pytest.fail("a server was started")
