"""What differs between two profiles: values by setting, and values that follow from them, with units."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ilab_profiles.conditions import value_at
from ilab_profiles.derived import derived
from ilab_profiles.fields import unit_of
from ilab_profiles.paths import fields
from ilab_profiles.profile import Profile
from ilab_profiles.render import to_data, value_in

__all__ = ["Difference", "diff"]


@dataclass(frozen=True, slots=True)
class Difference:
    """One setting or derived value that is not the same: its dotted path, both values (JSON-ready), and their unit."""

    path: str
    left: Any
    right: Any
    unit: str | None = None
    derived: bool = False


def diff(left: Profile, right: Profile) -> list[Difference]:
    """Every difference between two profiles, settings first, then what follows from them; empty if they are equal."""
    return [*_settings(left, right), *_derived(left, right)]


def _settings(left: Profile, right: Profile) -> Iterator[Difference]:
    here, there = to_data(left), to_data(right)
    for path, info in fields().items():
        a, b = value_in(here, path), value_in(there, path)
        if a != b:
            yield Difference(path, a, b, unit_of(info))
        elif value_at(left, path) != value_at(right, path):
            yield Difference(path, a, b, unit_of(info))  # two secrets look alike, but are not


def _derived(left: Profile, right: Profile) -> Iterator[Difference]:
    here, there = derived(left), derived(right)
    for path, item in here.items():
        if item.value != there[path].value:
            yield Difference(path, item.value, there[path].value, item.unit, derived=True)
