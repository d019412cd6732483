"""From the data of a pipeline file to models, or to a finding for each thing that is wrong, at its own place."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ilab_cli.backends.generate.pipeline.block import Source
from ilab_profiles.diagnostics import Severity, must_be, nearest
from ilab_profiles.yaml.document import KeyPath

__all__ = ["unknown_key", "unknown_keys", "validated"]

M = TypeVar("M", bound=BaseModel)

_HINTS = {
    "list_type": "write a list: [first, second]",
    "dict_type": "write keys with values: {key: value}",
    "model_type": "write keys with values: {key: value}",
    "string_type": "write a text, in quotes where it looks like something else",
}
"""What to write, by type of error."""

_BEFORE_1_0 = {"block_configs": "blocks", "block_type": "type", "block_config": "config", "block_name": "name"}
"""What keys were called before version 1.0 of the format."""
_ELSEWHERE = {"timeout": "generate.request_timeout is for all calls"}
"""What to do about settings that stand elsewhere."""


def validated(model: type[M], data: Any, source: Source) -> M | None:
    """The data as a model. Each thing that is wrong is a finding, and is left out; ``None`` if too little is left.

    So what is right beside it can be looked into, and has its findings in the same run.

    Args:
        model: what the data should be; its field ``name`` does not come from the file, except in an item of ``blocks``.
        data: what stands at ``source.at``.
        source: where findings are collected.
    """
    try:
        return model.model_validate(data)
    except ValidationError as invalid:
        errors = invalid.errors(include_url=False, include_input=False)
    _report(model, errors, source)
    wrong = {error["loc"][0] for error in errors if error["loc"]}
    try:
        return model.model_validate({key: value for key, value in data.items() if key not in wrong})
    except (ValidationError, AttributeError):  # something that has to be there is wrong, or this is no mapping
        return None


def _report(model: type[BaseModel], errors: list[ErrorDetails], source: Source) -> None:
    messages: dict[KeyPath, list[str]] = {}
    hints: dict[KeyPath, str] = {}
    for error in errors:
        at = _existing(source, error["loc"])
        if error["type"] == "extra_forbidden":
            whole = error["loc"]
            unknown_key(source, f"unknown key {whole[-1]}", whole, _known(model, whole))
        elif error["type"] == "missing":
            hint = f"needed keys: {', '.join(_needed(model, error['loc']))}"
            source.find("missing-key", f"the key {error['loc'][-1]} is missing", *at, key=True, hint=hint)
        else:
            messages.setdefault(at, []).append(must_be(error))
            hints.setdefault(at, _HINTS.get(error["type"], ""))
    for at, texts in messages.items():
        name = ".".join(str(key) for key in at) or "block"
        source.find("bad-value", f"{name}: {' or '.join(dict.fromkeys(texts))}", *at, hint=hints[at])


def unknown_key(
    source: Source,
    message: str,
    at: KeyPath,
    known: tuple[str, ...],
    severity: Severity = "error",
) -> None:
    """Collect a finding about a key that means nothing, with the one that may have been meant."""
    key = str(at[-1])
    hint = f"did you mean {near}?" if (near := _meant(key, known)) else f"known keys: {', '.join(known)}"
    if not near and "extra_body" in known:
        hint = _ELSEWHERE.get(key) or f"{hint}, which takes what else the endpoint knows"
    source.find("unknown-key", message, *at, key=True, hint=hint, severity=severity)


def unknown_keys(source: Source, what: str, known: tuple[str, ...]) -> None:
    """Collect a finding about each key of a file that means nothing: an error where another may have been meant."""
    for key in source.document.data:
        if key not in known:
            severity: Severity = "error" if _meant(str(key), known) else "warning"
            unknown_key(source, f"{what} has no key {key}: it is ignored", (key,), known, severity)


def _meant(key: str, known: tuple[str, ...]) -> str | None:
    """The known key that an unknown one may stand for."""
    older = _BEFORE_1_0.get(key)
    likeness = 0.85 if "extra_body" in known else 0.6  # endpoints have other settings called much alike, such as top_k
    return older if older in known else nearest(key, known, likeness)


def _existing(source: Source, place: KeyPath) -> KeyPath:
    """The part of a place that stands in the file: pydantic adds the branches of unions."""
    while place and (*source.at, *place) not in source.document.values:
        place = place[:-1]
    return place


def _known(model: type[BaseModel], at: KeyPath) -> tuple[str, ...]:
    """The keys that may stand where an unknown one does."""
    below = _model(model, at)
    return tuple(key for key in below.model_fields if key != "name" or "type" in below.model_fields) if below else ()


def _needed(model: type[BaseModel], at: KeyPath) -> tuple[str, ...]:
    """The keys that have to stand where one is missing."""
    below = _model(model, at)
    return tuple(key for key in _known(model, at) if below and below.model_fields[key].is_required())


def _model(model: type[BaseModel], at: KeyPath) -> type[BaseModel] | None:
    """The model of the mapping in which a key stands."""
    for key in at[:-1]:
        below = model.model_fields[str(key)].annotation
        if not (isinstance(below, type) and issubclass(below, BaseModel)):
            return None
        model = below
    return model
