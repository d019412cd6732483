"""Checkpoints of a training: those that are there, and those of which only a score is left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ilab_cli.backends.report.folders import RunFolder
from ilab_cli.backends.report.rows import mapping, number, object_in, sequence, text

__all__ = ["Checkpoint", "checkpoints_in"]


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint.

    Attributes:
        name: its folder's name.
        phase: the phase that it is of; empty where there are none.
        samples: conversations seen.
        step: optimizer steps done, where that is known.
        valid_loss: its validation loss, if there is one.
        score: its score by an evaluation, if the run folder tells of one.
        remarks: what is special about it: the lowest loss, the best score, that it was deleted.
    """

    name: str
    phase: str
    samples: int
    step: int | None
    valid_loss: float | None
    score: float | None
    remarks: tuple[str, ...]


def checkpoints_in(run: RunFolder, phase: str, folder: Path) -> list[Checkpoint]:
    """The checkpoints of a training, or of one of its phases, by age; scores are those of the evaluation after it."""
    evaluated = object_in(folder / "evaluation" / "scores.json", run.findings)
    pruned = object_in(folder / "pruned.json", run.findings)
    gone, best = mapping(pruned.get("deleted")), {*mapping(pruned.get("best")), text(evaluated.get("best"))}
    scores = {**mapping(pruned.get("best")), **gone}
    scores |= {text(mapping(row).get("name")): row for row in sequence(evaluated.get("checkpoints"))}
    lowest = folder / "checkpoints" / "best"
    lowest_name = lowest.resolve().name if lowest.exists() else ""
    found = {
        file.parent.name: object_in(file, run.findings)
        for file in sorted(folder.glob("checkpoints/samples_*/training.json"))
    }
    names = sorted({*found, *map(str, gone)})
    return [
        _checkpoint(
            text(name),
            phase,
            found.get(name) or mapping(gone.get(name)),
            number(mapping(scores.get(name)).get("score")),
            (
                *(["★ lowest loss"] if name == lowest_name else []),
                *(["★ best score"] if name in best else []),
                *(["deleted"] if name not in found else []),
            ),
        )
        for name in names
    ]


def _checkpoint(
    name: str, phase: str, about: Mapping[str, Any], score: float | None, remarks: tuple[str, ...]
) -> Checkpoint:
    samples, step = number(about.get("samples"), 12), number(about.get("step"), 12)
    return Checkpoint(
        name=name,
        phase=phase,
        samples=int(samples or 0),
        step=None if step is None else int(step),
        valid_loss=number(about.get("valid_loss")),
        score=score,
        remarks=remarks,
    )
