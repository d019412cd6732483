"""What can be known before a server is started: address, model files, settings that go unheard. Never writes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ilab_cli.backends.serve import address, servers
from ilab_profiles import Finding, InputError, Position
from ilab_profiles.models.config import Serve

__all__ = ["preflight"]

_MODEL = "serve.model_path"
_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "tekken.json")


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
    elif path.is_dir():
        yield from _folder(path)
    else:
        hint = "name a folder with config.json, weights and tokenizer, or a .gguf file; models are not downloaded"
        yield Finding("model-not-found", f"{path} is not there", _MODEL, hint=hint)


def _gguf(file: Path) -> Iterator[Finding]:
    try:
        with file.open("rb") as stream:
            sound = stream.read(4) == b"GGUF"
    except OSError as error:
        yield Finding("model-unreadable", f"{file}: {error.strerror}", _MODEL)
        return
    if not sound or file.suffix != ".gguf":
        hint = "name a folder with config.json, weights and tokenizer, or a .gguf file"
        yield Finding("not-a-model", f"{file} is not a .gguf model", _MODEL, hint=hint)


def _folder(folder: Path) -> Iterator[Finding]:
    """What a folder lacks that transformers and vLLM need."""
    if not (folder / "config.json").is_file():
        yield Finding("not-a-model", f"{folder} has no config.json", _MODEL, hint=_better(folder))
        return
    for what, patterns in (("weights", _WEIGHTS), ("tokenizer", _TOKENIZERS)):
        if not any(next(folder.glob(pattern), None) for pattern in patterns):
            message = f"{folder} has no {what} ({patterns[0]})"
            yield Finding(f"no-{what}", message, _MODEL, hint="download the model again, or name another folder")
    yield from _readable(folder)
    tokenizer = _load(folder / "tokenizer_config.json")
    if not (folder / "chat_template.jinja").is_file() and not tokenizer.get("chat_template"):
        why = "requests with messages fail; only those with a raw prompt are answered"
        message = f"the tokenizer in {folder} has no chat template"
        yield Finding("no-chat-template", message, _MODEL, why=why, severity="warning")


def _readable(folder: Path) -> Iterator[Finding]:
    """Files that hold no JSON object, and weights that an index names and that are not there."""
    for file in (folder / "config.json", *sorted(folder.glob("*.index.json"))):
        try:
            data = json.loads(file.read_text(encoding="utf-8"))
            shards = set(data["weight_map"].values()) if "weight_map" in data else set()
            data.get("model_type")
        except (OSError, ValueError, AttributeError, TypeError, RecursionError):
            yield Finding("bad-model-file", "not a JSON object of a model", _MODEL, Position(str(file)))
            continue
        if lacking := sorted(name for name in shards if not (folder / str(name)).is_file()):
            hint = "download the model again"
            yield Finding("no-weights", f"{folder} lacks {', '.join(lacking)}", _MODEL, Position(str(file)), hint=hint)


def _better(folder: Path) -> str:
    """What to name in place of a folder that is no model."""
    if (folder / "adapter_config.json").is_file():
        return "it is a LoRA adapter; a model is served only with the adapter merged into it"
    if (folder / "model" / "config.json").is_file():
        return f"it is the folder of a run; name {folder / 'model'}"
    if found := sorted(folder.glob("*.gguf")):
        return f"name the file: {found[0]}"
    return "name a folder with config.json, weights and tokenizer, or a .gguf file"


def _unheard(choice: servers.Choice, serve: Serve) -> Iterator[Finding]:
    """Settings that the chosen server does not carry out."""
    folder = servers.model_path(serve)
    if choice.name == "llama.cpp":
        return
    if serve.gpu_layers > 0:
        message = f"{choice.name} cannot keep {serve.gpu_layers} layers on the GPU and the rest off it: all go there"
        hint = "use -1 (all) or 0 (none), or a .gguf model"
        yield Finding("setting-not-used", message, "serve.gpu_layers", hint=hint, severity="warning")
    if choice.name != "transformers":
        return
    if "@" in str(folder):
        message = f"{folder}: transformers serve takes what follows @ for a revision"
        yield Finding("bad-model-path", message, _MODEL, hint="rename the folder")
    config = folder / "generation_config.json"
    if (folder / "config.json").is_file() and not _load(config).get("do_sample"):
        yield Finding(
            "always-the-same-answer",
            "the model always takes the likeliest word, whatever temperature a request asks for",
            _MODEL,
            Position(str(config)),
            why="all samples of one prompt are the same",
            hint=f"write do_sample: true into {config.name}",
            severity="warning",
        )


def _load(file: Path) -> dict[str, Any]:
    """The JSON object in a file, empty if there is none."""
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}
