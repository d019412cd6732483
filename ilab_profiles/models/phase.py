"""One phase of a training: its settings, and its name, which its folder has."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from ilab_profiles.models.fields import MayBe, Section, setting

__all__ = ["Phase", "phase_name"]

_NAME = r"^[^/\\.\x00-\x1f][^/\\\x00-\x1f]{0,99}$"
_RUN_USES = ("checkpoints", "evaluation", "handovers.jsonl", "metrics.jsonl", "model", "run.yaml", "train.log")
"""What is in the folder of a run already."""


def _phase_name(name: str | None) -> str | None:
    if name in _RUN_USES:
        raise PydanticCustomError("phase_name", "must not be a name that the folder of the run uses itself")
    if name is not None and not re.fullmatch(_NAME, name):
        raise PydanticCustomError("phase_name", "must be the name of a folder, of at most 100 characters")
    return name


PhaseName = Annotated[
    str | None,
    AfterValidator(_phase_name),
    WithJsonSchema(
        {"anyOf": [{"type": "string", "pattern": _NAME, "not": {"enum": list(_RUN_USES)}}, {"type": "null"}]}
    ),
    MayBe(f"a name without slashes and without a dot in front, none of {', '.join(_RUN_USES)}"),
]
"""Name of a phase, and of its folder in that of the run."""


def phase_name(given: str | None, number: int) -> str:
    """The name of a phase: its own, else one by its number, counted from 0. Its folder is called so."""
    return given or f"phase{number:02d}"


class Phase(Section):
    """One phase of a training in several phases; what it leaves unset is taken from ``train``."""

    name: PhaseName = setting(
        None, "Name of the phase's folder; unset: phase00, phase01, …", acts="the folder of the phase"
    )
    data_path: str | None = setting(None, "Data of this phase", acts="the samples of the phase", path=True)
    num_epochs: int | None = setting(
        None, "Passes over this phase's data", acts="the number of steps of the phase", unit="epochs", ge=1
    )
    effective_batch_size: int | None = setting(
        None, "Samples in one optimizer step", acts="the samples of each step of the phase", unit="samples", ge=1
    )
    learning_rate: float | None = setting(
        None, "Peak learning rate of this phase", acts="the learning rate of each step of the phase", gt=0
    )
    warmup_steps: int | None = setting(
        None,
        "Steps over which the learning rate rises",
        acts="the learning rate of the first steps of the phase",
        unit="steps",
        ge=0,
    )
    save_samples: int | None = setting(
        None,
        "Samples between checkpoints; 0 saves only at the end",
        acts="the steps of the phase that end with a checkpoint",
        unit="samples",
        ge=0,
    )

    @property
    def own(self) -> dict[str, Any]:
        """The settings of a training that the phase has a value of its own for, by name."""
        return {name: value for name, value in self if value is not None and name != "name"}
