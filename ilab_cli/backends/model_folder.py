"""What a folder must hold to be a model: one answer for training, evaluation and serving. Loads no model.

That is a ``config.json``, weights and a tokenizer, as transformers saves them. A LoRA adapter is no model by itself.
Names and sizes of files of weights are looked at, and their first and last bytes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

from ilab_profiles import Finding, Position

__all__ = [
    "ADVICE",
    "broken",
    "has_chat_template",
    "has_tokenizer",
    "is_adapter",
    "is_model",
    "lacking",
    "problems",
    "read_object",
    "tokenizer_problems",
    "weight_files",
    "weights_problems",
]

ADVICE = "name a folder with config.json, weights and tokenizer"
_AGAIN = "download or copy the model again, or name another folder"
_WEIGHTS = ("*.safetensors", "pytorch_model*.bin", "adapter_model.bin")
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "tekken.json")


def is_model(folder: Path) -> bool:
    """Whether a folder is meant to be a model's."""
    return os.path.isfile(folder / "config.json")


def is_adapter(folder: Path) -> bool:
    """Whether a folder is meant to be a LoRA adapter's."""
    return os.path.isfile(folder / "adapter_config.json")


def problems(folder: Path, setting: str, advice: str = ADVICE) -> Iterator[Finding]:
    """All that is wrong with the folder of a model.

    Args:
        folder: the folder.
        setting: dotted path of the setting that names it.
        advice: what to name instead of a folder that is no model.
    """
    if not os.path.isdir(folder):
        what = "is a file, not a folder" if os.path.exists(folder) else "not found"
        yield Finding("model-not-found", f"{folder} {what}", setting, hint=advice)
    elif not is_model(folder):
        yield Finding("not-a-model", f"{folder} has no config.json", setting, hint=_better(folder) or advice)
    else:
        findings: list[Finding] = []
        read_object(folder / "config.json", findings)
        yield from findings
        yield from weights_problems(folder, setting)
        yield from tokenizer_problems(folder, setting)


def tokenizer_problems(folder: Path, setting: str) -> Iterator[Finding]:
    """A finding if a folder has no tokenizer."""
    if not has_tokenizer(folder):
        yield Finding("no-tokenizer", f"{folder} has no tokenizer (tokenizer.json)", setting, hint=_AGAIN)


def _better(folder: Path) -> str:
    """What to name instead of a folder that is no model; empty if nothing is near."""
    if is_adapter(folder):
        return "it is a LoRA adapter: name a model with the adapter merged into it"
    inside = [part for part in sorted([*folder.glob("*"), *folder.glob("*/model")]) if is_model(part)]
    return f"name one of the models in it: {', '.join(map(str, inside))}" if inside else ""


def has_tokenizer(folder: Path) -> bool:
    """Whether a folder has a tokenizer."""
    return any((folder / name).is_file() for name in _TOKENIZERS)


def has_chat_template(folder: Path) -> bool:
    """Whether the tokenizer in a folder has a chat template."""
    configuration = read_object(folder / "tokenizer_config.json", [])
    return (folder / "chat_template.jinja").is_file() or bool(configuration.get("chat_template"))


def read_object(file: Path, findings: list[Finding]) -> dict[str, Any]:
    """The JSON object in a file; what is wrong with it goes to the findings, and the object is empty then."""
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        if isinstance(data, dict):
            return data
        problem, line = "must be a JSON object", 1
    except json.JSONDecodeError as error:
        problem, line = f"not valid JSON: {error.msg}", error.lineno
    except (OSError, UnicodeDecodeError, RecursionError):
        problem, line = "cannot be read as JSON text", 1
    findings.append(Finding("bad-model-file", problem, position=Position(str(file), line), hint=_AGAIN))
    return {}


# --- weights ----------------------------------------------------------------------------------------------------------


def weights_problems(folder: Path, setting: str) -> Iterator[Finding]:
    """All that is wrong with the weights in a folder."""
    unreadable = [index for index in sorted(folder.glob("*.index.json")) if _shards(index) is None]
    for index in unreadable:
        message = "must be a JSON object with a weight_map"
        yield Finding("bad-model-file", message, position=Position(str(index)), hint=_AGAIN)
    lost = [] if unreadable else lacking(folder)
    if lost:
        yield Finding("model-incomplete", f"{folder} lacks {', '.join(lost)}", setting, hint=_AGAIN)
    elif not weight_files(folder):
        yield Finding("no-weights", f"{folder} has no weights (*.safetensors)", setting, hint=_AGAIN)


def weight_files(folder: Path) -> list[Path]:
    """The files of weights in a folder."""
    return [file for pattern in _WEIGHTS for file in sorted(folder.glob(pattern))]


def lacking(folder: Path) -> list[str]:
    """What a folder lacks of its weights, in words: files that an index names, and the rest of those cut short."""
    return [*(f"a whole {name}" for name in broken(folder)), *sorted(set(_missing_shards(folder)))]


def broken(folder: Path) -> list[str]:
    """Names of the files of weights, and of an optimizer's state, that are cut short."""
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError:
        return []  # without the extra nothing is loaded, which is told elsewhere
    found = [str(file.relative_to(folder)) for file in folder.glob("*/state.pt") if not is_zipfile(file)]
    for file in folder.glob("*.safetensors"):
        try:
            with safe_open(file, "np"):
                pass
        except (OSError, SafetensorError):
            found.append(file.name)
    return sorted(found)


def _missing_shards(folder: Path) -> Iterator[str]:
    for index in folder.glob("*.index.json"):
        shards = _shards(index)
        if shards is None:
            yield f"a readable {index.name}"
        else:
            yield from (name for name in shards if not (folder / name).is_file())


def _shards(index: Path) -> set[str] | None:
    """Names of the files that an index of weights names; ``None`` if it cannot be read."""
    try:
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    return names if all(isinstance(name, str) for name in names) else None
