"""What differs between two profiles: values by setting, and values that follow from them, with units."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from ilab_profiles.loading.sources import Subject, effective_of
from ilab_profiles.models.fields import unit_of
from ilab_profiles.models.paths import field_at, fields, items_of
from ilab_profiles.models.profile import Profile
from ilab_profiles.rules.language import value_at
from ilab_profiles.views.derived import derived
from ilab_profiles.yaml.write import to_data, value_in

__all__ = ["Difference", "diff"]


@dataclass(frozen=True, slots=True)
class Difference:
    """One setting or derived value that is not the same: its dotted path, both values (JSON-ready), and their unit."""

    path: str
    left: Any
    right: Any
    unit: str | None = None
    derived: bool = False


def diff(left: Subject, right: Subject) -> list[Difference]:
    """Every difference between two profiles, settings first, then what follows from them; empty if they are equal.

    Args:
        left: a profile, its name or path, or what :func:`ilab_profiles.resolve` gives.
        right: the same.

    Raises:
        InputError: with everything that is wrong with a profile that is named.
    """
    one, other = effective_of(left).profile, effective_of(right).profile
    return [*_settings(one, other), *_derived(one, other)]


def _settings(left: Profile, right: Profile) -> Iterator[Difference]:
    here, there = to_data(left), to_data(right)
    for path, info in fields().items():
        a, b = value_in(here, path), value_in(there, path)
        if items_of(info.annotation):
            yield from _items(path, a, b)
        elif a != b or value_at(left, path) != value_at(right, path):  # two secrets look alike
            yield Difference(path, a, b, unit_of(info))


def _items(path: str, left: Sequence[Mapping[str, Any]], right: Sequence[Mapping[str, Any]]) -> Iterator[Difference]:
    """Item by item, and where both have the item, setting by setting."""
    for number, (a, b) in enumerate(zip_longest(left, right)):
        where = f"{path}.{number}"
        if a is None or b is None:
            yield Difference(where, a, b)
            continue
        for name in a:
            if a[name] != b[name]:
                info = field_at(f"{where}.{name}")
                yield Difference(f"{where}.{name}", a[name], b[name], unit_of(info) if info else None)


def _derived(left: Profile, right: Profile) -> Iterator[Difference]:
    here, there = derived(left), derived(right)
    for path, item in (there | here).items():
        a, b = (found[path].value if path in found else None for found in (here, there))
        if a != b:
            yield Difference(path, a, b, item.unit, derived=True)
