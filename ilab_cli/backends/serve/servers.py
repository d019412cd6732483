"""The servers that can serve a model, which of them is there and fits, and the command line of each.

What a server cannot do is told here too, in :data:`LIMITS`; how a server is started and stopped is not.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from ilab_cli.backends.serve import address
from ilab_profiles import Finding, InputError
from ilab_profiles.models.config import Serve

__all__ = ["LIMITS", "Choice", "Gpus", "Name", "available", "choose", "command", "model_path", "on_cpu"]

Name = Literal["vLLM", "llama.cpp", "transformers"]
Gpus = tuple[int, ...] | None
"""Numbers of the GPUs to use; empty means none, ``None`` what is there."""

LIMITS: dict[Name, str] = {
    "vLLM": "",
    "llama.cpp": "",
    "transformers": (
        "transformers serve answers one request at a time; it ignores n, logprobs and response_format, refuses fields "
        "it does not know, draws at random only where the model's generation_config.json has do_sample: true, does not "
        "obey serve.max_ctx_size, and /v1/models does not name the model (leave `model` out of requests, or give its "
        "absolute path)"
    ),
}
"""What each server cannot do, in one line; empty if there is nothing that matters to generation."""

_MODEL = "serve.model_path"
_NEEDED = ("torch", "transformers", "accelerate", "fastapi", "uvicorn", "openai")
_ALL_LAYERS = 999  # llama-server takes more layers than a model has as all of them; not every version knows the word
_GPU_DEVICES = ("nvidia[0-9]*", "kfd", "dxg")  # NVIDIA's driver, AMD's, and either under WSL


@dataclass(frozen=True, slots=True)
class Choice:
    """The server that was chosen, and why, in words that follow its name."""

    name: Name
    why: str


def choose(serve: Serve, gpus: Gpus = None) -> Choice:
    """The server for a model: llama.cpp for a ``.gguf`` file, else vLLM if it can run here, else transformers.

    Raises:
        InputError: if the server that is needed is not installed.
    """
    if model_path(serve).suffix == ".gguf":
        if reason := _no_llama_cpp():
            hint = "install llama.cpp, or name a folder with config.json and *.safetensors"
            raise InputError(
                Finding("server-not-installed", f"llama.cpp serves .gguf files, but {reason}", _MODEL, hint=hint)
            )
        return Choice("llama.cpp", "the model is a .gguf file")
    no_vllm = "the GPU is switched off" if on_cpu(serve, gpus) else _no_vllm()
    if not no_vllm:
        return Choice("vLLM", "it is installed and a GPU is available")
    if reason := _no_transformers():
        hint = 'python3 -m pip install "ilab-profiles[serve]"'
        raise InputError(
            Finding("extra-not-installed", f"ilab model serve cannot use transformers: {reason}", hint=hint)
        )
    return Choice("transformers", f"not vLLM, because {no_vllm}")


def available() -> list[tuple[Name, str]]:
    """Every server with why it cannot be used here; the reason is empty where it can. Quick: imports none of them."""
    return [("vLLM", _no_vllm()), ("llama.cpp", _no_llama_cpp()), ("transformers", _no_transformers())]


def _no_vllm() -> str:
    if not _program("vllm"):
        return "vllm is not installed"
    return "" if any(next(Path("/dev").glob(name), None) for name in _GPU_DEVICES) else "no GPU found"


def _no_llama_cpp() -> str:
    return "" if _program("llama-server") else "llama-server is not on the PATH"


def _no_transformers() -> str:
    absent = [module for module in _NEEDED if find_spec(module) is None]
    return f"not installed: {', '.join(absent)}" if absent else ""


def _program(name: str) -> str | None:
    """Path of a program: the one beside this Python if there is one, else the one on the PATH."""
    return shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)


def model_path(serve: Serve) -> Path:
    """The model's folder or file, absolute. Servers take its text as the name of the model too."""
    return Path(serve.model_path).absolute()


def on_cpu(serve: Serve, gpus: Gpus = None) -> bool:
    """True if the settings say that no GPU is to be used."""
    return serve.gpu_layers == 0 or gpus == ()


def command(choice: Choice, serve: Serve, gpus: Gpus = None, *, trust_remote_code: bool = False) -> list[str]:
    """The server's command line, complete in itself.

    Args:
        choice: the server.
        serve: what it serves and where.
        gpus: the GPUs that it uses.
        trust_remote_code: whether it may run code that comes with the model.

    Raises:
        InputError: if ``serve.host_port`` is no address.
    """
    model = str(model_path(serve))
    host, port = address.parse(serve.host_port)
    place = ["--host", host, "--port", str(port)]
    if choice.name == "llama.cpp":
        layers = 0 if on_cpu(serve, gpus) else _ALL_LAYERS if serve.gpu_layers < 0 else serve.gpu_layers
        options = ["--ctx-size", str(serve.max_ctx_size), "--n-gpu-layers", str(layers)]
        return [_program("llama-server") or "llama-server", "--model", model, *place, *options]
    trust = ["--trust-remote-code"] if trust_remote_code else []
    if choice.name == "vLLM":
        options = ["--max-model-len", str(serve.max_ctx_size)]
        if gpus and len(gpus) > 1:
            options += ["--tensor-parallel-size", str(len(gpus))]
        return [_program("vllm") or "vllm", "serve", model, *place, *options, *trust]
    options = ["--device", "cpu"] if on_cpu(serve, gpus) else []
    return [sys.executable, "-m", "transformers.cli.transformers", "serve", model, *place, *options, *trust]
