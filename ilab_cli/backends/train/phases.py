"""Training in phases: which single trainings a ``Train`` stands for. Settings only: no disk, no processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ilab_profiles import Finding, Train

__all__ = ["expand", "findings"]

_OWN = ("data_path", "num_epochs", "effective_batch_size", "learning_rate", "warmup_steps", "save_samples")


def _names(train: Train) -> list[str]:
    return [phase.name or f"phase{number:02d}" for number, phase in enumerate(train.phases)]


def expand(train: Train) -> list[Train]:
    """The trainings that follow one another, each in a folder of its own and from the model of the one before.

    Returns:
        ``[train]`` where there are no phases; else one ``Train`` without phases for each of them.
    """
    if not train.phases:
        return [train]
    steps: list[Train] = []
    for name, phase in zip(_names(train), train.phases, strict=True):
        changes = {field: value for field in _OWN if (value := getattr(phase, field)) is not None}
        if steps:
            changes["model_path"] = str(Path(steps[-1].output_dir) / "model")
        steps.append(
            train.model_copy(update=changes | {"phases": (), "output_dir": str(Path(train.output_dir) / name)})
        )
    return steps


def findings(train: Train) -> Iterator[Finding]:
    """What is wrong with the names of the phases: each becomes a folder of its own."""
    names = _names(train)
    for number, name in enumerate(names):
        path = f"train.phases[{number}].name"
        if name in names[:number]:
            yield Finding("phase-name", f"two phases are called {name!r}", path, hint="give each phase its own name")
        if name != Path(name).name or name in {"", ".", ".."}:
            yield Finding("phase-name", f"{name!r} is no name of a folder", path, hint="use letters, digits, - and _")
