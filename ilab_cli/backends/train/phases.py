"""Training in phases: which single trainings a ``Train`` stands for. Settings only: no disk, no processes."""

from __future__ import annotations

from pathlib import Path

from ilab_profiles import Train
from ilab_profiles.train import Phase

__all__ = ["expand", "setting_of"]

_OWN = Phase.model_fields.keys() & Train.model_fields.keys()


def expand(train: Train) -> list[Train]:
    """The trainings that follow one another, each in a folder of its own and from the model of the one before.

    Returns:
        ``[train]`` where there are no phases; else one ``Train`` without phases for each of them.
    """
    if not train.phases:
        return [train]
    steps: list[Train] = []
    for name, phase in zip(train.phase_names, train.in_phases, strict=True):
        before = {"model_path": str(Path(steps[-1].output_dir) / "model")} if steps else {}
        steps.append(phase.model_copy(update={**before, "output_dir": str(Path(train.output_dir) / name)}))
    return steps


def setting_of(train: Train, number: int, path: str) -> str:
    """The setting that a phase, counted from 0, has a value from: its own, if it has one, else that of ``train``."""
    name = path.removeprefix("train.")
    has_own = name in _OWN and train.phases and getattr(train.phases[number], name) is not None
    return f"train.phases.{number}.{name}" if has_own else path
