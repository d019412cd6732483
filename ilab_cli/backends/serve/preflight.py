"""What can be known before a server is started: address, model files, settings that go unheard. Never writes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ilab_cli.backends.model_folder import ADVICE, has_chat_template, is_model, problems, read_object
from ilab_cli.backends.serve import address, servers
from ilab_profiles import Finding, InputError, Position
from ilab_profiles.models.config import Serve

__all__ = ["preflight"]

_MODEL = "serve.model_path"
_ADVICE = f"{ADVICE}, or a .gguf file; models are not downloaded"


def preflight(serve: Serve, gpus: servers.Gpus = None) -> list[Finding]:
    """All that is wrong before the start, warnings included."""
    findings = [*_address(serve), *_model(servers.model_path(serve))]
    try:
        choice = servers.choose(serve, gpus)
    except InputError as error:
        return [*findings, *error.findings]
    return [*findings, *_unheard(choice, serve)]


def _address(serve: Serve) -> list[Finding]:
    try:
        return address.check_port(address.parse(serve.host_port))
    except InputError as error:
        return list(error.findings)


def _model(path: Path) -> Iterator[Finding]:
    if path.is_file():
        yield from _gguf(path)
        return
    found = sorted(path.glob("*.gguf"))
    yield from problems(path, _MODEL, f"name the file: {found[0]}" if found else _ADVICE)
    if is_model(path) and not has_chat_template(path):
        why = "requests with messages fail; only those with a raw prompt are answered"
        message = f"the tokenizer in {path} has no chat template"
        yield Finding("no-chat-template", message, _MODEL, why=why, severity="warning")


def _gguf(file: Path) -> Iterator[Finding]:
    try:
        with file.open("rb") as stream:
            sound = stream.read(4) == b"GGUF"
    except OSError as error:
        yield Finding("model-unreadable", f"{file}: {error.strerror}", _MODEL)
        return
    if not sound or file.suffix != ".gguf":
        yield Finding("not-a-model", f"{file} is not a .gguf model", _MODEL, hint=_ADVICE)


def _unheard(choice: servers.Choice, serve: Serve) -> Iterator[Finding]:
    """Settings that the chosen server does not carry out."""
    folder = servers.model_path(serve)
    if choice.name == "llama.cpp":
        return
    if serve.gpu_layers > 0:
        message = f"{choice.name} cannot keep only {serve.gpu_layers} layers on the GPU: it keeps all"
        hint = "use -1 (all) or 0 (none), or a .gguf model"
        yield Finding("setting-not-used", message, "serve.gpu_layers", hint=hint, severity="warning")
    if choice.name != "transformers":
        return
    if "@" in str(folder):
        message = f"{folder}: transformers serve takes what follows @ for a revision"
        yield Finding("bad-model-path", message, _MODEL, hint="rename the folder")
    config = folder / "generation_config.json"
    if (folder / "config.json").is_file() and not read_object(config, []).get("do_sample"):
        yield Finding(
            "always-the-same-answer",
            "the model always takes the most likely token, whatever the temperature of a request",
            _MODEL,
            Position(str(config)),
            why="all samples of one prompt are the same",
            hint=f"write do_sample: true into {config.name}",
            severity="warning",
        )
