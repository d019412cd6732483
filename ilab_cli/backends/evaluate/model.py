"""The model under test: which folder is meant, and whether it holds what evaluation needs. Loads no model."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from ilab_cli.backends.model_folder import (
    has_chat_template,
    has_tokenizer,
    is_adapter,
    is_model,
    problems,
    read_object,
    tokenizer_problems,
    weights_problems,
)
from ilab_profiles import Evaluate, Finding, InputError, Position

__all__ = ["Model", "find_model", "model_in"]


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
        return bool(self.base) and Path(self.base).is_dir()


def find_model(evaluate: Evaluate) -> Model:
    """The model that the settings give: that of the benchmark, else ``model``, else ``input_dir``.

    A folder is a model's, an adapter's, or a training run's (whose ``model`` folder is taken). Where nothing but an
    endpoint is asked, there is no folder: ``base`` is empty.

    Raises:
        InputError: with everything that is wrong with it.
    """
    if evaluate.benchmarks == ("mmlu",) and evaluate.mmlu.endpoint:
        return Model(evaluate.mmlu.model or evaluate.model or evaluate.mmlu.endpoint, "", None, "")
    served = {"mt_bench", "mt_bench_branch"}.issuperset(evaluate.benchmarks) and bool(evaluate.benchmarks)
    if served and evaluate.mt.endpoint:
        return Model(evaluate.mt.model or evaluate.mt.endpoint, "", None, "")
    own = {"mt.model": evaluate.mt.model} if served else {"mmlu.model": evaluate.mmlu.model}
    given = {**own, "model": evaluate.model, "input_dir": evaluate.input_dir}
    key = next((key for key, value in given.items() if value), "model")
    setting, name = f"evaluate.{key}", given[key]
    if not name:
        hint = "name it with --model, or its folder with --input-dir"
        raise InputError(Finding("no-model", "no model is given", setting, hint=hint))
    path = Path(name)
    if not os.path.exists(path):
        if setting != "evaluate.input_dir" and re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", name):
            return Model(name, name, None, name)
        raise InputError(problems(path, setting))
    folder = next((part for part in (path, path / "model") if is_model(part) or is_adapter(part)), path)
    return model_in(folder, name, setting, chat=bool(evaluate.mmlu.apply_chat_template))


def model_in(folder: Path, name: str, setting: str, *, chat: bool = False) -> Model:
    """The model, or the adapter on its base, in a folder.

    Args:
        folder: the folder.
        name: how the user calls it.
        setting: dotted path of the setting that names it.
        chat: whether a chat template is needed.

    Raises:
        InputError: with everything that is wrong with it.
    """
    findings: list[Finding] = []
    base, adapter = folder, None
    if is_adapter(folder):
        adapter, base = str(folder), _base_folder(folder / "adapter_config.json", findings)
        findings += [problem for part in dict.fromkeys((base, folder)) for problem in weights_problems(part, setting)]
    else:
        findings += problems(folder, setting)
    tokenizer = next((part for part in (folder, base) if has_tokenizer(part)), folder)
    if adapter:
        findings += tokenizer_problems(tokenizer, setting)
    if chat and has_tokenizer(tokenizer) and not has_chat_template(tokenizer):
        hint = "leave out --apply-chat-template, or give the tokenizer a chat_template.jinja"
        message = f"the tokenizer in {tokenizer} has no chat template"
        findings.append(Finding("no-chat-template", message, "evaluate.mmlu.apply_chat_template", hint=hint))
    if findings:
        raise InputError(dict.fromkeys(findings))
    return Model(name, str(base), adapter, str(tokenizer))


def _base_folder(file: Path, findings: list[Finding]) -> Path:
    base = read_object(file, findings).get("base_model_name_or_path")
    for place in (Path(str(base)), file.parent / str(base)):
        if base and os.path.isfile(place / "config.json"):
            return place
    message = f"the adapter's base model {base} is not a model folder"
    hint = "put the base model there, or correct base_model_name_or_path"
    findings.append(Finding("no-base-model", message, position=Position(str(file)), hint=hint))
    return file.parent
