"""Training in phases: which single trainings a ``Train`` stands for. Settings only: no disk, no processes."""

from __future__ import annotations

from pathlib import Path

from ilab_profiles import Train

__all__ = ["expand"]

_OWN = ("data_path", "num_epochs", "effective_batch_size", "learning_rate", "warmup_steps", "save_samples")


def expand(train: Train) -> list[Train]:
    """The trainings that follow one another, each in a folder of its own and from the model of the one before.

    Returns:
        ``[train]`` where there are no phases; else one ``Train`` without phases for each of them.
    """
    if not train.phases:
        return [train]
    steps: list[Train] = []
    for name, phase in zip(train.phase_names, train.phases, strict=True):
        changes = {field: value for field in _OWN if (value := getattr(phase, field)) is not None}
        if steps:
            changes["model_path"] = str(Path(steps[-1].output_dir) / "model")
        steps.append(
            train.model_copy(update=changes | {"phases": (), "output_dir": str(Path(train.output_dir) / name)})
        )
    return steps
