"""Phases under the one rule of precedence: what a stronger source says of a training goes over what a phase says.

Each phase takes such a setting for its own. Data that a stronger source names take the place of the phases altogether:
the training is then one, on those data.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from ilab_profiles.diagnostics import Finding
from ilab_profiles.loading.layers import Layer, Setting
from ilab_profiles.models.profile import Profile

__all__ = ["PHASES", "replaced", "settled"]

PHASES = "train.phases"
_DATA = "train.data_path"


def replaced(layers: Sequence[Layer]) -> Iterator[Layer]:
    """The layer that takes the phases away, if a stronger source than theirs names the data; it says so."""
    given, stronger = _split(layers)
    data = _said(_DATA, stronger)
    if given is None or not given.value or not data or not data[-1].value:
        return
    message = f"takes the place of the phases that {given.giver()} has: the training is one, on these data"
    hint = "for phases on other data, set train.phases"
    warning = Finding("phases-replaced", message, _DATA, hint=hint, severity="warning")
    yield Layer({PHASES: replace(data[-1], value=[])}, (data[-1].placed(warning),))


def settled(profile: Profile, layers: Sequence[Layer]) -> tuple[Profile, dict[str, list[Setting]]]:
    """The profile with what stronger sources say in each phase, and by dotted path who says what there."""
    given, stronger = _split(layers)
    settings: dict[str, list[Setting]] = {}
    phases = []
    for number, phase in enumerate(profile.train.phases if given else ()):
        changes: dict[str, Any] = {}
        for name, value in phase:
            if value is not None and given is not None:
                over = _said(f"train.{name}", stronger)
                settings[f"{PHASES}.{number}.{name}"] = [given.part((number, name), value), *over]
                changes |= {name: getattr(profile.train, name)} if over else {}
        phases.append(phase.model_copy(update=changes))
    train = profile.train.model_copy(update={"phases": tuple(phases)})
    return profile.model_copy(update={"train": train}), settings


def _split(layers: Sequence[Layer]) -> tuple[Setting | None, Sequence[Layer]]:
    """Who gives the phases, and the layers that are stronger."""
    for rank in reversed(range(len(layers))):
        if given := layers[rank].settings.get(PHASES):
            return given, layers[rank + 1 :]
    return None, ()


def _said(path: str, layers: Sequence[Layer]) -> list[Setting]:
    return [layer.settings[path] for layer in layers if path in layer.settings]
