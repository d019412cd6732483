"""Why a setting has its value: who gave it, what that shadows, and what the value may be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic.fields import FieldInfo

from ilab_profiles.diagnostics import Finding, InputError, Position, counted
from ilab_profiles.loading.layers import Setting
from ilab_profiles.loading.merge import Effective
from ilab_profiles.loading.sources import Subject, effective_of
from ilab_profiles.models.fields import aliases_of, unit_of
from ilab_profiles.models.paths import bounds_of, field_at, fields, find_field, is_secret, not_a_setting
from ilab_profiles.models.phase import Phase
from ilab_profiles.models.profile import Profile
from ilab_profiles.views.derived import Derived, derived
from ilab_profiles.yaml.write import scalar, to_data, value_in

__all__ = ["Explanation", "Given", "explain", "find_key"]

MASK = "**********"


@dataclass(frozen=True, slots=True)
class Given:
    """What one source says: its kind, the value (masked if secret) and where it stands."""

    kind: str
    value: Any
    position: Position | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything about one setting.

    Attributes:
        path: its dotted path.
        value: the value in force, JSON-ready, masked if secret.
        origin: who gave it.
        shadowed: what other sources say, the strongest first, the default last.
        description: what it is, in one line.
        unit: what its number counts.
        bounds: what it may be, in words.
        aliases: other spellings.
        formula, numbers: for a derived value, how it follows from settings.
        in_phases: for a setting that phases have too, its value in each of them.
    """

    path: str
    value: Any
    origin: Given
    shadowed: tuple[Given, ...] = ()
    description: str = ""
    unit: str | None = None
    bounds: str = ""
    aliases: tuple[str, ...] = ()
    formula: str = ""
    numbers: str = ""
    in_phases: tuple[Any, ...] = ()

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        unit = self.unit if self.unit and isinstance(self.value, (int, float)) else ""
        yield f"{self.path}: {counted(scalar(self.value), unit)}"
        yield f"  {self.description}"
        if self.bounds:
            yield f"  may be: {self.bounds}"
        if self.aliases:
            yield f"  also written: {', '.join(self.aliases)}"
        if self.formula:
            yield f"  {self.formula}"
            yield f"  = {self.numbers} = {scalar(self.value)}"
        else:
            yield f"  from {_source(self.origin)}"
        for given in self.shadowed:
            yield f"  overrides {scalar(given.value)} from {_source(given)}"
        if self.in_phases:
            yield f"  in the phases: {', '.join(map(scalar, self.in_phases))}"


def _source(given: Given) -> str:
    if given.position is None:
        return given.kind
    return f"{given.kind} {given.position}" if given.position.is_file else str(given.position)


def find_key(effective: Effective, key: str, samples: int | None = None) -> str:
    """The proper dotted path of a setting, a section or a derived value.

    Raises:
        InputError: if there is none of them, or each phase has its own, or the number of samples is needed.
    """
    path = key.replace("-", "_")
    if path in derived(effective.profile, samples):
        return path
    known = derived(effective.profile, samples=1)
    if path in known:
        message = "needs the number of conversations to train on"
        raise InputError(Finding("needs-samples", message, path, hint="give it with --samples"))
    section, _, name = path.rpartition(".")
    if section in ("", "train") and (each := [other for other in known if other.rpartition(".")[2] == name]):
        raise InputError(Finding("in-phases", "each phase has its own value", path, hint=", ".join(each)))
    return find_field(key)


def explain(subject: Subject, path: str, samples: int | None = None) -> Explanation:
    """Explain a setting or a derived value.

    Args:
        subject: a profile, its name or path, or what :func:`ilab_profiles.resolve` gives.
        path: dotted path, in any accepted spelling.
        samples: number of conversations to train on, for derived values that need it.

    Raises:
        InputError: if there is no such setting, or it is a section.
    """
    effective = effective_of(subject)
    path = find_key(effective, path, samples)
    follows = derived(effective.profile, samples)
    if path in follows:
        return _derived(follows[path])
    info = field_at(path)
    if info is None:
        raise not_a_setting(path)
    value = value_in(to_data(effective.profile), path)
    unset = _unset(effective.profile, path, info)
    secret = is_secret(path)
    given = [_given(setting, secret) for setting in reversed(effective.settings.get(path, ()))]
    holds_everywhere = given and effective.origin(path) is effective.origin(unset.kind)
    origin, *shadowed = given if holds_everywhere else [*given, unset]
    return Explanation(
        path,
        value if given or path in fields() else unset.value,
        origin,
        tuple(shadowed),
        info.description or "",
        unit_of(info),
        bounds_of(info),
        tuple(aliases_of(info)),
        in_phases=tuple(_in_phases(effective.profile, path)),
    )


def _unset(profile: Profile, path: str, info: FieldInfo) -> Given:
    """What holds where nobody gives a value: the default, but in a phase what ``train`` says."""
    above = f"train.{path.rpartition('.')[2]}"
    if path not in fields() and above in fields():
        return Given(above, value_in(to_data(profile), above), None)
    return Given("default", info.get_default(), None)


def _in_phases(profile: Profile, path: str) -> Iterator[Any]:
    """The value of a setting of ``train`` in each phase; nothing if phases have no such setting."""
    above, _, name = path.rpartition(".")
    if above == "train" and name in Phase.model_fields:
        yield from (getattr(run, name) for run in profile.train.runs() if profile.train.phases)


def _given(setting: Setting, secret: bool) -> Given:
    return Given(setting.kind, MASK if secret and setting.value is not None else setting.value, setting.position())


def _derived(item: Derived) -> Explanation:
    return Explanation(
        item.path,
        item.value,
        Given("derived", item.value, None),
        description=item.description,
        unit=item.unit,
        formula=item.formula,
        numbers=item.numbers,
    )
