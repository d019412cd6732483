"""The model under test: which folder is meant, and whether it holds what evaluation needs. Loads no model."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ilab_cli.backends.train.weights import lacking
from ilab_profiles import Evaluate, Finding, InputError, Position

__all__ = ["Model", "find_model"]

_WEIGHTS = ("*.safetensors", "pytorch_model*.bin", "adapter_model.bin")
_TOKENIZER = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.json", "vocab.txt")


@dataclass(frozen=True, slots=True)
class Model:
    """What is loaded.

    Attributes:
        name: the folder or hub name that the settings give, as shown to the user.
        base: folder or hub name of the (base) model.
        adapter: folder of the LoRA adapter to put on it, if any.
        tokenizer: folder or hub name of the tokenizer.
    """

    name: str
    base: str
    adapter: str | None
    tokenizer: str

    @property
    def local(self) -> bool:
        """True if everything is read from folders, nothing from a hub."""
        return Path(self.base).is_dir()


def find_model(evaluate: Evaluate) -> Model:
    """The model that the settings give: ``mmlu.model``, else ``model``, else ``input_dir``.

    A folder is a model's, an adapter's, or a training run's (whose ``model`` folder is taken).

    Raises:
        InputError: with everything that is wrong with it.
    """
    given = {"mmlu.model": evaluate.mmlu.model, "model": evaluate.model, "input_dir": evaluate.input_dir}
    key = next((key for key, value in given.items() if value), "model")
    setting, name = f"evaluate.{key}", given[key]
    if not name:
        hint = "name it with --model, or its folder with --input-dir"
        raise InputError(Finding("no-model", "no model is given", setting, hint=hint))
    path = Path(name)
    if not os.path.exists(path):
        if setting != "evaluate.input_dir" and re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", name):
            return Model(name, name, None, name)
        raise InputError(Finding("no-such-model", f"there is no folder {name}", setting))
    folder = next((f for f in (path, path / "model") if _is_model(f)), None)
    if folder is None:
        what = "has neither config.json nor adapter_config.json" if path.is_dir() else "is a file"
        hint = "a model is a folder as transformers saves it, with config.json, *.safetensors and a tokenizer"
        if inside := [str(part) for part in sorted([*path.glob("*"), *path.glob("*/model")]) if _is_model(part)]:
            hint = f"name one of the models in it: {', '.join(inside)}"
        raise InputError(Finding("not-a-model", f"{name} {what}", setting, hint=hint))
    return _from_folder(name, folder, setting, evaluate.mmlu.apply_chat_template)


def _is_model(folder: Path) -> bool:
    return (folder / "config.json").is_file() or (folder / "adapter_config.json").is_file()


def _from_folder(name: str, folder: Path, setting: str, chat: bool) -> Model:
    findings: list[Finding] = []
    base, adapter = folder, None
    if (folder / "adapter_config.json").is_file():
        file = folder / "adapter_config.json"
        adapter, base = str(folder), _base_folder(file, findings)
    else:
        _read_object(folder / "config.json", findings)
    for part in dict.fromkeys((base, folder)):
        if not any(next(part.glob(pattern), None) for pattern in _WEIGHTS):
            findings.append(Finding("no-weights", f"{part} holds no weights (*.safetensors)", setting))
        if lost := lacking(part):
            message = f"{part} lacks {', '.join(lost)}"
            findings.append(Finding("model-incomplete", message, setting, hint="copy or download the model again"))
    tokenizer = next((f for f in (folder, base) if any((f / file).is_file() for file in _TOKENIZER)), None)
    if tokenizer is None:
        findings.append(Finding("no-tokenizer", f"{folder} holds no tokenizer (tokenizer.json)", setting))
    elif chat and not _has_chat_template(tokenizer, findings):
        hint = "leave out --apply-chat-template, or give the tokenizer a chat_template.jinja"
        message = f"the tokenizer in {tokenizer} has no chat template"
        findings.append(Finding("no-chat-template", message, "evaluate.mmlu.apply_chat_template", hint=hint))
    if findings:
        raise InputError(dict.fromkeys(findings))
    return Model(name, str(base), adapter, str(tokenizer))


def _base_folder(file: Path, findings: list[Finding]) -> Path:
    base = _read_object(file, findings).get("base_model_name_or_path")
    for place in (Path(str(base)), file.parent / str(base)):
        if base and os.path.isfile(place / "config.json"):
            return place
    message = f"the adapter's base model {base} is no model folder"
    hint = "put the base model there, or correct base_model_name_or_path"
    findings.append(Finding("no-base-model", message, position=Position(str(file)), hint=hint))
    return file.parent


def _has_chat_template(folder: Path, findings: list[Finding]) -> bool:
    file = folder / "tokenizer_config.json"
    return (folder / "chat_template.jinja").is_file() or (
        file.is_file() and bool(_read_object(file, findings).get("chat_template"))
    )


def _read_object(file: Path, findings: list[Finding]) -> dict[str, Any]:
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        if isinstance(data, dict):
            return data
        problem, line = "must hold a JSON object", 1
    except json.JSONDecodeError as error:
        problem, line = f"not valid JSON: {error.msg}", error.lineno
    except (OSError, UnicodeDecodeError, RecursionError):
        problem, line = "cannot be read as JSON text", 1
    findings.append(Finding("bad-model-file", problem, position=Position(str(file), line)))
    return {}
