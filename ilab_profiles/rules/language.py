"""The language that rules are written in: conditions over fields, rules made of them, and checks in Python.

It says no more than JSON Schema can, so that one declaration serves the validator, the schema, the reference and the
automatic fix. The rules themselves stand in :mod:`ilab_profiles.rules.table`. Paths are those of a whole profile; a
condition over them can be asked of any section that holds its field, by telling where the section stands.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from operator import attrgetter
from typing import Any

from ilab_profiles.diagnostics import Severity
from ilab_profiles.gpus import format_gpus
from ilab_profiles.yaml.write import scalar

__all__ = ["Check", "Condition", "F", "Rule", "show", "value_at", "within"]


def value_at(section: Any, path: str, at: str = "") -> Any:
    """The value at a dotted path, for example ``train.lora.lora_rank``.

    Args:
        section: a profile, or a section of one.
        path: the path from the top of a profile.
        at: where the section stands there; empty for a whole profile.
    """
    return _getter(path, at)(section)


@cache  # a rule asks for the same few paths again and again
def _getter(path: str, at: str) -> Callable[[Any], Any]:
    inner = path.removeprefix(f"{at}.") if at else path
    return attrgetter(inner) if inner != at else lambda section: section


def within(path: str, at: str) -> bool:
    """Whether a path lies in the section that stands ``at`` a place."""
    return not at or f"{path}.".startswith(f"{at}.")


@dataclass(frozen=True, slots=True)
class Condition:
    """A statement about one field: ``path op operand``, with ``op`` one of set, default, in, has, matches, >=, <=."""

    path: str
    op: str
    operand: Any = None
    negated: bool = False

    def holds(self, section: Any, at: str = "") -> bool:
        """Whether a section that stands ``at`` a place is so."""
        value = value_at(section, self.path, at)
        if self.op == "default":
            above, _, name = self.path.rpartition(".")
            field = type(value_at(section, above, at)).model_fields[name]
            return (value == field.get_default()) is not self.negated
        return self.accepts(value)

    def accepts(self, value: Any) -> bool:
        """Whether this value of the field would be so."""
        match self.op:
            case "set":
                found = value is not None and value != () and value != ""
            case "in":
                found = any(value == item and type(value) is type(item) for item in self.operand)
            case "has":
                found = self.operand in (value or ())
            case "matches":
                found = value is not None and re.search(self.operand, value) is not None
            case ">=":
                found = value is not None and value >= self.operand
            case _:
                found = value is not None and value <= self.operand
        return found is not self.negated

    def __invert__(self) -> Condition:
        return Condition(self.path, self.op, self.operand, not self.negated)

    def __str__(self) -> str:
        if self.op == "default":
            return f"{self.path}{' other than' if self.negated else ' at'} its default"
        if self.op == "set":
            return f"{self.path} {'unset' if self.negated else 'set'}"
        if self.op == "in":
            return f"{self.path}{' other than' if self.negated else ':'} {' or '.join(map(show, self.operand))}"
        if self.op == "has":
            return f"{self.path} {'without' if self.negated else 'with'} {self.operand}"
        operand = self.operand if self.op == "matches" else show(self.operand)
        return f"{self.path} {'not ' if self.negated else ''}{self.op} {operand}"


def show(value: Any) -> str:
    """A value as YAML would write it."""
    if isinstance(value, tuple) and all(isinstance(item, int) for item in value):
        return str(format_gpus(value))
    try:
        return scalar(value)
    except TypeError:
        return str(value)  # from Python, which YAML cannot write


@dataclass(frozen=True, slots=True)
class Field:
    """A field by its dotted path; its methods make conditions, its attributes are the fields below it."""

    path: str = ""

    def __getattr__(self, name: str) -> Field:
        if name.startswith("_"):
            raise AttributeError(name)
        return Field(f"{self.path}.{name}" if self.path else name)

    def is_set(self) -> Condition:
        """The field has a value other than null, the empty list and the empty text."""
        return Condition(self.path, "set")

    def is_default(self) -> Condition:
        """The field has the value that it has where nobody gives one."""
        return Condition(self.path, "default")

    def is_(self, *values: Any) -> Condition:
        """The field has one of these values."""
        return Condition(self.path, "in", values)

    def has(self, item: str) -> Condition:
        """The field is a list with this item in it."""
        return Condition(self.path, "has", item)

    def matches(self, pattern: str) -> Condition:
        """The field is a text in which this pattern (of the kind that Python and JSON Schema share) is found."""
        return Condition(self.path, "matches", pattern)

    def at_least(self, number: float) -> Condition:
        """The field is a number not below this one."""
        return Condition(self.path, ">=", number)

    def at_most(self, number: float) -> Condition:
        """The field is a number not above this one."""
        return Condition(self.path, "<=", number)


F = Field()


@dataclass(frozen=True, slots=True)
class Rule:
    """Where all of ``when`` holds, ``require`` must hold.

    Args:
        id: stable name, used in findings.
        when: conditions that must all hold for the rule to apply.
        require: what must hold then.
        why: what would go wrong otherwise.
        fix: settings that mend it, by dotted path.
        severity: an ``error`` refuses the profile.
    """

    id: str
    when: tuple[Condition, ...]
    require: Condition
    why: str
    fix: Mapping[str, Any] = field(default_factory=dict)
    severity: Severity = "error"


@dataclass(frozen=True, slots=True)
class Check:
    """What the language cannot say: ``run`` yields a message for each thing that is wrong with the section ``at``."""

    id: str
    involved: tuple[str, ...]
    why: str
    run: Callable[[Any], Iterator[str]]
    at: str
    severity: Severity = "error"
