"""The vocabulary that the models are written in: how a setting is declared, and the types they share.

A setting is declared once, with :func:`setting`: its default, description, unit, bounds, other spellings and the
expertise it asks for. Flags, schema, reference and help are derived from that declaration. No rule and no I/O
belongs here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

__all__ = [
    "Expertise",
    "GpuSelection",
    "Section",
    "StrList",
    "aliases_of",
    "as_tuple",
    "expertise_of",
    "format_gpus",
    "is_path",
    "mistaken_for",
    "parse_gpus",
    "section",
    "setting",
    "split_names",
    "unit_of",
    "unset_of",
    "words_of",
]


class Expertise(StrEnum):
    """How much a reader of ``--help`` is assumed to know; each level shows all that the one before it shows."""

    BASIC = "basic"
    ADVANCED = "advanced"
    EXPERT = "expert"


class Section(BaseModel):
    """Base of every group of settings: immutable, strict about types, and without room for unknown keys."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, defer_build=True, allow_inf_nan=False, hide_input_in_errors=True
    )

    def at_home(self) -> Self:
        """The settings with ``~`` replaced in every path, as a shell would have done it; it stays where no home is."""
        changes: dict[str, Any] = {}
        for name, info in type(self).model_fields.items():
            match getattr(self, name):
                case Section() as below:
                    changes[name] = below.at_home()
                case (Section(), *_) as items:
                    changes[name] = tuple(item.at_home() for item in items)
                case str(path) if is_path(info):
                    changes[name] = os.path.expanduser(path)
                case (str(), *_) as paths if is_path(info):
                    changes[name] = tuple(map(os.path.expanduser, paths))
        return self.model_copy(update=changes)


def setting(
    default: Any,
    description: str,
    *,
    unit: str | None = None,
    expertise: Literal["basic", "advanced", "expert"] = "basic",
    aliases: Iterable[str] = (),
    mistaken: Iterable[str] = (),
    path: bool = False,
    **bounds: Any,
) -> Any:
    """Declare one setting.

    Args:
        default: its value where nobody gives one.
        description: one line, without a full stop at its end being required by any tool.
        unit: what the number counts, for example ``"tokens"``.
        expertise: the level of ``--help`` from which on its flag is shown.
        aliases: other spellings that files and flags may use.
        mistaken: names that are not accepted, but that people write for it; they get its name as a hint.
        path: true if the value is a file or folder, for shell completion.
        bounds: ``ge``, ``gt``, ``le``, ``lt``, ``min_length`` … as :func:`pydantic.Field` takes them.
    """
    extra: dict[str, Any] = {"x-expertise": expertise}
    if unit:
        extra["x-unit"] = unit
    if names := list(aliases):
        extra["x-aliases"] = names
    if names := list(mistaken):
        extra["x-mistaken"] = names
    if path:
        extra["x-path"] = True
    return Field(default, description=description, json_schema_extra=extra, **bounds)


def section(kind: type[Section], description: str, *, aliases: Iterable[str] = ()) -> Any:
    """Declare a nested group of settings, all at their defaults."""
    extra: dict[str, Any] = {"x-aliases": list(aliases)} if aliases else {}
    return Field(default_factory=kind, description=description, json_schema_extra=extra)


def _extra(field: FieldInfo) -> dict[str, Any]:
    return field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}


def aliases_of(field: FieldInfo) -> list[str]:
    """Other spellings of a setting's name."""
    return list(_extra(field).get("x-aliases", ()))


def mistaken_for(field: FieldInfo) -> list[str]:
    """Names that are not accepted, but that people write for a setting."""
    return list(_extra(field).get("x-mistaken", ()))


def unit_of(field: FieldInfo) -> str | None:
    """What a setting's number counts, if it counts something."""
    unit = _extra(field).get("x-unit")
    return None if unit is None else str(unit)


def expertise_of(field: FieldInfo) -> Expertise:
    """The level of ``--help`` from which on a setting is shown."""
    return Expertise(_extra(field).get("x-expertise", "basic"))


def unset_of(field: FieldInfo) -> dict[str, Any] | None:
    """Schema of the raw values, beside null and nothing, that leave a setting without a value."""
    for item in field.metadata:
        if isinstance(item, WithJsonSchema) and item.json_schema and "x-unset" in item.json_schema:
            return dict(item.json_schema["x-unset"])
    return None


@dataclass(frozen=True, slots=True)
class MayBe:
    """Beside a type: what its values may be, in words, where the type does not tell."""

    words: str


def words_of(field: FieldInfo) -> str:
    """What a setting may be, where its type brings the words for it; else empty."""
    return next((item.words for item in field.metadata if isinstance(item, MayBe)), "")


def is_path(field: FieldInfo) -> bool:
    """Whether a setting's value names a file or folder."""
    return bool(_extra(field).get("x-path"))


# --- GPU selections ---------------------------------------------------------------------------------------------------

_GPU_RANGE = re.compile(r"([0-9]{1,4})(?:[-:]([0-9]{1,4}))?")
_MOST_GPU = 9999
_GPU_TEXT = "^(-1|[0-9]{1,4}([-:][0-9]{1,4})?( *, *[0-9]{1,4}([-:][0-9]{1,4})?)*)$"


def parse_gpus(value: object) -> tuple[int, ...] | None:
    """Read a selection of GPUs: ``0-4`` or ``0:4`` (both ends included), ``1,3``, ``2``, ``[0, 1]``, ``-1`` for none.

    Python may write none as ``()``, as it is given back.

    Returns:
        The device numbers in rising order; an empty tuple means "no GPU"; ``None`` stays ``None`` (not chosen).

    Raises:
        ValueError: if the text is none of these.
        PydanticCustomError: if a range runs backwards or a device is named twice (which no JSON Schema can say).
    """
    match value:
        case None:
            return None
        case tuple() if not value:
            return ()
        case str() if value != "-1":
            ids = _parse_gpu_text(value)
        case [_, *_]:
            ids = [_whole(item) for item in value]
        case _:
            number = -1 if value == "-1" else _whole(value)
            if number == -1:
                return ()
            ids = [number]
    if any(number < 0 for number in ids):
        raise ValueError("numbers of GPUs start at 0; -1 alone means no GPU")
    if any(number > _MOST_GPU for number in ids):
        raise ValueError(f"numbers of GPUs end at {_MOST_GPU}")
    if len(set(ids)) != len(ids):
        raise PydanticCustomError("gpu_selection", "a GPU is named twice")
    return tuple(sorted(ids))


def _whole(value: object) -> int:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value % 1 == 0:
        return int(value)
    raise ValueError("a GPU selection is a number, a range such as 0-3, or a list of numbers")


def _parse_gpu_text(text: str) -> list[int]:
    ids: list[int] = []
    for part in text.split(","):
        found = _GPU_RANGE.fullmatch(part.strip(" "))
        if not found:
            raise ValueError(f"{text!r} is no GPU selection: write 0-3, 0:3, 1,3 or -1 for none")
        first, last = int(found[1]), int(found[2] or found[1])
        if last < first:
            raise PydanticCustomError("gpu_selection", "the range {range} runs backwards", {"range": part.strip(" ")})
        ids.extend(range(first, last + 1))
    return ids


def format_gpus(ids: tuple[int, ...] | None) -> str | int | None:
    """Write a selection the shortest way that :func:`parse_gpus` reads back: ``0-3``, ``1,3``, ``-1``."""
    if ids is None:
        return None
    if not ids:
        return -1
    runs: list[list[int]] = []
    for number in ids:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    text = ",".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)
    return int(text) if text.isdigit() else text


GpuSelection = Annotated[
    tuple[int, ...] | None,
    BeforeValidator(parse_gpus),
    PlainSerializer(format_gpus),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": -1, "maximum": _MOST_GPU},
                {"type": "string", "pattern": _GPU_TEXT},
                {
                    "type": "array",
                    "items": {"type": "integer", "minimum": 0, "maximum": _MOST_GPU},
                    "minItems": 1,
                    "uniqueItems": True,
                },
                {"type": "null"},
            ],
            "x-unset": {"enum": [-1, "-1"]},
        }
    ),
    MayBe("0-3, 0:3, 1,3, a list of numbers, or -1 for none"),
]
"""GPU numbers as a sorted tuple; ``()`` is the CPU, ``None`` is "not chosen"."""


def split_names(value: object) -> object:
    """A list, or one text with commas between names, as a tuple; anything else as it is."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return as_tuple(value)


def as_tuple(value: object) -> object:
    """A list as a tuple; anything else as it is."""
    return tuple(value) if isinstance(value, list) else value


StrList = Annotated[
    tuple[str, ...],
    BeforeValidator(split_names),
    PlainSerializer(list),
    WithJsonSchema(
        {
            "anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "string"}],
            "x-unset": {"type": "string", "pattern": r"^[\s,]*$"},
        }
    ),
]
"""A list of names; one name, or several with commas between them, may stand for it."""
