"""The settings by dotted path, such as ``train.lora.lora_rank``: which there are, how to spell and read them.

Derived from the models; nothing is told here a second time.
"""

from __future__ import annotations

import os
import types
import typing
from collections.abc import Iterator, Mapping
from functools import cache
from operator import attrgetter
from typing import Annotated, Any, Literal, NamedTuple, Union

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from ilab_profiles.diagnostics import Finding, InputError, nearest
from ilab_profiles.models.fields import Section, aliases_of, is_path, may_be_name, split_names, takes_switch, words_of
from ilab_profiles.models.profile import Profile
from ilab_profiles.yaml.document import resolve_scalar
from ilab_profiles.yaml.read import parse

__all__ = [
    "Shape",
    "anchored",
    "bounds_of",
    "choices_of",
    "field_at",
    "fields",
    "find_field",
    "find_setting",
    "is_secret",
    "items_of",
    "limits_of",
    "list_item",
    "not_a_setting",
    "path_settings",
    "paths_in",
    "read_setting",
    "read_text",
    "scalar_kinds",
    "section_of",
    "shape_of",
    "shapes",
    "spellings",
]


def items_of(annotation: Any) -> type[Section] | None:
    """The model of the items of a list of sections, or ``None`` for anything else."""
    if typing.get_origin(annotation) is Annotated:
        annotation = typing.get_args(annotation)[0]
    arguments = typing.get_args(annotation)
    return section_of(arguments[0]) if typing.get_origin(annotation) is tuple and arguments else None


def section_of(annotation: Any) -> type[Section] | None:
    """The model of a nested section, or ``None`` for a single setting."""
    return annotation if isinstance(annotation, type) and issubclass(annotation, Section) else None


def anchored(info: FieldInfo, value: Any, folder: str) -> Any:
    """A value as it was read, with every relative path in it, also in the items of a list, made one from a folder."""
    if model := items_of(info.annotation):
        return [_anchored_item(model, item, folder) for item in value] if isinstance(value, list | tuple) else value
    if not is_path(info):
        return value
    if isinstance(value, str) and list_item(info.annotation):
        value = split_names(value)
    if isinstance(value, list | tuple):
        return [_from(folder, item, info) for item in value]
    return _from(folder, value, info)


@cache
def path_settings(model: type[Section] = Profile) -> Mapping[str, FieldInfo]:
    """The settings below a model, by dotted path, that hold paths, or items that may."""
    return {path: info for path, info in fields(model).items() if is_path(info) or items_of(info.annotation)}


def _anchored_item(model: type[Section], item: Any, folder: str) -> Any:
    if not isinstance(item, Mapping):
        return item
    known = model.model_fields
    return {name: anchored(known[name], value, folder) if name in known else value for name, value in item.items()}


def _from(folder: str, path: Any, info: FieldInfo) -> Any:
    if not isinstance(path, str) or not path or path.startswith("~") or os.path.isabs(path):
        return path
    found = os.path.normpath(os.path.join(folder, path))
    is_name = may_be_name(info) and not path.startswith(".") and not os.path.exists(found)
    return path if is_name else found


@cache
def fields(model: type[Section] = Profile, prefix: str = "") -> Mapping[str, FieldInfo]:
    """Every setting below a model, by dotted path, in the order of declaration."""
    found: dict[str, FieldInfo] = {}
    for name, info in model.model_fields.items():
        if below := section_of(info.annotation):
            found.update(fields(below, f"{prefix}{name}."))
        else:
            found[f"{prefix}{name}"] = info
    return types.MappingProxyType(found)


def paths_in(profile: Profile) -> Iterator[str]:
    """Every setting of a profile by dotted path, below a list of sections each setting of each item."""
    for path, info in fields().items():
        yield path
        if item := items_of(info.annotation):
            for number in range(len(attrgetter(path)(profile))):
                yield from fields(item, f"{path}.{number}.")


def field_at(path: str, model: type[Section] = Profile) -> FieldInfo | None:
    """The field at a proper dotted path, of an item of a list too (``train.phases.0.num_epochs``); else ``None``."""
    known = fields(model)
    for outer, info in known.items() if path not in known else ():
        if path.startswith(f"{outer}.") and (below := items_of(info.annotation)):
            return field_at(path.removeprefix(f"{outer}.").partition(".")[2], below)
    return known.get(path)


@cache
def spellings(model: type[Section]) -> Mapping[str, str]:
    """Every accepted spelling of the keys of one section, with the name of its field; proper names come first."""
    known = {name: name for name in model.model_fields}
    for name, info in model.model_fields.items():
        for spelling in (name, *aliases_of(info)):
            known.update({spelling: name, spelling.replace("_", "-"): name})
    return known


def find_field(path: str, model: type[Section] = Profile) -> str:
    """The proper dotted path for one written with aliases or dashes; items of lists are counted from 0.

    Raises:
        InputError: if there is no such setting; the nearest one is the hint.
    """
    parts: list[str] = []
    here: type[Section] | None = model
    item: type[Section] | None = None
    for part in path.split("."):
        if item is not None and part.isdecimal():
            parts.append(str(int(part)))
            here, item = item, None
            continue
        name = spellings(here).get(part) if here else None
        if name is None or here is None:
            known = [*fields(model), *(entry.rpartition(".")[0] for entry in fields(model))]
            close = nearest(path, known)
            raise InputError(
                Finding("unknown-setting", f"unknown setting {path!r}", hint=f"did you mean {close}?" if close else "")
            )
        parts.append(name)
        annotation = here.model_fields[name].annotation
        here, item = section_of(annotation), items_of(annotation)
    return ".".join(parts)


def find_setting(path: str, model: type[Section] = Profile) -> str:
    """As :func:`find_field`, for settings alone.

    Raises:
        InputError: if there is no such setting, or it is a section; the hint tells what that holds.
    """
    name = find_field(path, model)
    if name not in fields(model):
        raise not_a_setting(name, model)
    return name


def not_a_setting(path: str, model: type[Section] = Profile) -> InputError:
    """The refusal of a section, or of a part of a list, where a setting is wanted."""
    if whole := next((other for other in fields(model) if path.startswith(f"{other}.")), None):
        return InputError(
            Finding("not-a-setting", "is a part of a list, which is a setting as a whole", path, hint=f"name {whole}")
        )
    below = ", ".join(other for other in fields(model) if other.startswith(f"{path}."))
    return InputError(Finding("not-a-setting", "is a section, not a setting", path, hint=f"it holds {below}"))


def read_setting(path: str, value: Any, model: type[Section] = Profile) -> tuple[str, Any]:
    """The proper dotted path of a setting, and its value, text and paths read as its type asks.

    Raises:
        InputError: if there is no such setting, or the text cannot be read.
    """
    name = find_setting(path, model)
    value = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(value, str):
        return name, value
    try:
        return name, read_text(value, fields(model)[name])
    except InputError as error:
        raise InputError(Finding(item.rule, item.message, name) for item in error.findings) from None


def read_text(text: str, info: FieldInfo) -> Any:
    """Read text as the type of a field asks: text stays text where text is wanted, else it is YAML.

    Raises:
        InputError: if it begins like a YAML list or mapping but is none.
    """
    kinds = set(scalar_kinds(info.annotation))
    if type(None) in kinds and text in ("null", "none", "~", ""):
        return None
    if items_of(info.annotation) and text.startswith("{"):
        text = f"[{text}]"  # items without the brackets of their list
    if text.startswith(("[", "{")) and str not in kinds:
        return parse(f"value: {text}").data["value"]
    read = {*kinds, list_item(info.annotation)} & {int, float, bool} or takes_switch(info)
    return resolve_scalar(text) if read else text


def list_item(annotation: Any) -> type | None:
    """The scalar type of the items of a list, or ``None`` for anything else, lists of sections included."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is tuple:
        return next((kind for kind in scalar_kinds(arguments[0]) if not issubclass(kind, Section)), None)
    found = (list_item(part) for part in arguments if origin in (Annotated, Union, types.UnionType))
    return next(filter(None, found), None)


def scalar_kinds(annotation: Any) -> Iterator[type]:
    """The scalar types that an annotation admits at its top level."""
    origin = typing.get_origin(annotation)
    if origin is Annotated:
        yield from scalar_kinds(typing.get_args(annotation)[0])
    elif origin in (Union, types.UnionType):
        for part in typing.get_args(annotation):
            yield from scalar_kinds(part)
    elif origin is Literal:
        yield from {type(value) for value in typing.get_args(annotation)}
    elif isinstance(annotation, type):
        yield annotation


class Shape(NamedTuple):
    """What the annotation of a field says: the section below it, the section of its items, the scalars it admits."""

    section: type[Section] | None
    item: type[Section] | None
    scalars: frozenset[type]


def shape_of(info: FieldInfo) -> Shape:
    """The shape of a field."""
    return Shape(section_of(info.annotation), items_of(info.annotation), frozenset(scalar_kinds(info.annotation)))


@cache
def shapes(model: type[Section]) -> Mapping[str, Shape]:
    """The shape of every field of one section, by name."""
    return {name: shape_of(info) for name, info in model.model_fields.items()}


def bounds_of(info: FieldInfo) -> str:
    """What a setting may be, in words: its choices, or its kind with the bounds of its number."""
    if said := words_of(info):
        return said
    if item := items_of(info.annotation):
        return f"a list of {{{', '.join(item.model_fields)}}}"
    choices = list(choices_of(info.annotation))
    kinds = [
        _KINDS[kind] for kind in scalar_kinds(info.annotation) if kind in _KINDS and kind not in map(type, choices)
    ]
    if kind := list_item(info.annotation):
        return f"a list of {' and '.join(map(str, choices)) or _KINDS[kind].removeprefix('a ') + ('s' * (kind is int))}"
    words = " or ".join(map(str, [*choices, *kinds]))
    return f"{words} {' and '.join(limits_of(info))}".strip()


def limits_of(info: FieldInfo) -> list[str]:
    """The bounds of a number, in words."""
    signs = {"Ge": "at least", "Gt": "above", "Le": "at most", "Lt": "below"}
    return [
        f"{signs[type(item).__name__]} {getattr(item, type(item).__name__.lower())}"
        for item in info.metadata
        if type(item).__name__ in signs
    ]


_KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text", SecretStr: "text"}


def choices_of(annotation: Any) -> Iterator[Any]:
    """The values that a ``Literal`` names, wherever it stands in the annotation."""
    if typing.get_origin(annotation) is Literal:
        yield from typing.get_args(annotation)
    else:
        for part in typing.get_args(annotation):
            yield from choices_of(part)


def is_secret(path: str) -> bool:
    """Whether the value of a setting must never be shown."""
    info = field_at(path)
    return info is not None and SecretStr in set(scalar_kinds(info.annotation))
