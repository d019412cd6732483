"""The vocabulary that the models are written in: how a setting is declared, and the types they share.

A setting is declared once, with :func:`setting`: its default, description, unit, bounds, other spellings and the
expertise it asks for. Flags, schema, reference and help are derived from that declaration. A section runs the rules
that lie in it, wherever it is made.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from ilab_profiles.gpus import GPU_TEXT, MOST_GPU, format_gpus, parse_gpus
from ilab_profiles.rules.violations import violations

__all__ = [
    "Expertise",
    "GpuSelection",
    "MayBe",
    "Packing",
    "Section",
    "StrList",
    "acts_of",
    "affects_result",
    "aliases_of",
    "as_tuple",
    "expertise_of",
    "is_path",
    "may_be_name",
    "mistaken_for",
    "section",
    "setting",
    "split_names",
    "takes_switch",
    "unit_of",
    "unset_of",
    "words_of",
]


class Expertise(StrEnum):
    """How much a reader of ``--help`` is assumed to know; each level shows all that the one before it shows."""

    BASIC = "basic"
    ADVANCED = "advanced"
    EXPERT = "expert"


_RULES_LATER: dict[str, Any] = {"rules": "later"}


class Section(BaseModel):
    """Base of every group of settings: immutable, strict about types, without room for unknown keys, true to the rules.

    Making one runs all rules whose fields lie in it; what they refuse is told in pydantic's ``ValidationError``.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, defer_build=True, allow_inf_nan=False, hide_input_in_errors=True
    )

    place: ClassVar[str | None] = None
    """Dotted path of the section in a profile, empty for the profile itself; ``None`` where no rule looks."""

    @model_validator(mode="after")
    def _obey_rules(self, info: ValidationInfo) -> Self:
        if self.place is not None and info.context is not _RULES_LATER:
            broken = [str(item) for item in violations(self, self.place) if item.severity == "error"]
            if broken:
                raise PydanticCustomError("rule", "{broken}", {"broken": "\n".join(broken)})
        return self

    @classmethod
    def with_rules_later(cls, data: Any) -> Self:
        """A model whose values are checked one by one; to run the rules is left to the caller, who knows more."""
        return cls.model_validate(data, context=_RULES_LATER)

    def at_home(self) -> Self:
        """The settings with ``~`` replaced in every path, as a shell would have done it; it stays where no home is."""
        return self.with_paths(os.path.expanduser)

    def with_paths(self, change: Callable[[str], str]) -> Self:
        """The settings with every path in them changed, those of their parts too."""
        changes: dict[str, Any] = {}
        for name, info in type(self).model_fields.items():
            match getattr(self, name):
                case Section() as below:
                    changes[name] = below.with_paths(change)
                case (Section(), *_) as items:
                    changes[name] = tuple(item.with_paths(change) for item in items)
                case str(path) if is_path(info):
                    changes[name] = change(path)
                case (str(), *_) as paths if is_path(info):
                    changes[name] = tuple(map(change, paths))
        return self.model_copy(update=changes)


def setting(
    default: Any,
    description: str,
    *,
    acts: str = "",
    unit: str | None = None,
    expertise: Literal["basic", "advanced", "expert"] = "basic",
    aliases: Iterable[str] = (),
    mistaken: Iterable[str] = (),
    path: bool | Literal["or name"] = False,
    affects_result: bool = True,
    **bounds: Any,
) -> Any:
    """Declare one setting.

    Args:
        default: its value where nobody gives one.
        description: one line, without a full stop at its end being required by any tool.
        acts: where it acts: what that runs is another with another value, shown by its case in ``tests/alive``.
        unit: what the number counts, for example ``"tokens"``.
        expertise: the level of ``--help`` from which on its flag is shown.
        aliases: other spellings that files and flags may use.
        mistaken: names that are not accepted, but that people write for it; they get its name as a hint.
        path: true if the value is a file or folder: a relative one starts from the folder of the file that gives it;
            ``"or name"`` if it may be the name of something elsewhere, too.
        affects_result: false if a run comes to the same whatever it is, so that it may go on with another value.
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
        extra["x-path"] = path
    if not affects_result:
        extra["x-affects-result"] = False
    declared: FieldInfo = Field(default, description=description, json_schema_extra=extra, **bounds)
    declared.metadata.append(_Acts(acts))
    return declared


def section(kind: type[Section], description: str, *, aliases: Iterable[str] = (), affects_result: bool = True) -> Any:
    """Declare a nested group of settings, all at their defaults; as it never changes, one object serves all."""
    extra: dict[str, Any] = {"x-aliases": list(aliases)} if aliases else {}
    if not affects_result:
        extra["x-affects-result"] = False
    return Field(default_factory=cache(kind), description=description, json_schema_extra=extra)


@dataclass(frozen=True, slots=True)
class _Acts:
    """Where a setting acts; kept beside its type, out of the schema, which no editor would show it from."""

    words: str


def acts_of(field: FieldInfo) -> str:
    """Where a setting acts, in words; the reference shows it."""
    return next((item.words for item in field.metadata if isinstance(item, _Acts)), "")


def _extra(field: FieldInfo) -> dict[str, Any]:
    return field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}


def aliases_of(field: FieldInfo) -> list[str]:
    """Other spellings of a setting's name."""
    return list(_extra(field).get("x-aliases", ()))


def mistaken_for(field: FieldInfo) -> list[str]:
    """Names that are not accepted, but that people write for a setting."""
    return list(_extra(field).get("x-mistaken", ()))


def affects_result(field: FieldInfo) -> bool:
    """Whether a run that was begun with another value of a setting would come to something else."""
    return bool(_extra(field).get("x-affects-result", True))


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


def takes_switch(field: FieldInfo) -> bool:
    """Whether true and false may stand for values of a setting that is no switch."""
    return any(
        isinstance(item, WithJsonSchema) and True in (item.json_schema or {}).get("enum", ()) for item in field.metadata
    )


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


def may_be_name(field: FieldInfo) -> bool:
    """Whether a setting's value names a file or folder, or something elsewhere, such as a model on a hub."""
    return _extra(field).get("x-path") == "or name"


# --- GPU selections ---------------------------------------------------------------------------------------------------

GpuSelection = Annotated[
    tuple[int, ...] | None,
    BeforeValidator(parse_gpus),
    PlainSerializer(format_gpus),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": -1, "maximum": MOST_GPU},
                {"type": "string", "pattern": GPU_TEXT},
                {
                    "type": "array",
                    "items": {"type": "integer", "minimum": 0, "maximum": MOST_GPU},
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


def _packing(value: object) -> object:
    """What true and false, which the setting once took, mean today."""
    return {True: "batch", False: "none"}[value] if isinstance(value, bool) else value


Packing = Annotated[
    Literal["none", "batch", "full"],
    BeforeValidator(_packing),
    WithJsonSchema({"enum": ["none", "batch", "full", True, False]}),
]
"""How conversations are packed; ``true`` stands for ``batch``, ``false`` for ``none``."""
