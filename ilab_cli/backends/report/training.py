"""A training as its folder tells it: its curves, those of its phases one after another, and its checkpoints."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ilab_cli.backends.base import memory_in_words, size_in_words, time_in_words
from ilab_cli.backends.report.checkpoints import Checkpoint, checkpoints_in
from ilab_cli.backends.report.curves import Curve, thin
from ilab_cli.backends.report.folders import RunFolder
from ilab_cli.backends.report.rows import mapping, number, rows_of, short, text
from ilab_profiles.models.phase import phase_name

__all__ = ["METRICS", "Summary", "Training", "read_training"]

METRICS = {
    "loss": "Loss",
    "valid_loss": "Validation loss",
    "learning_rate": "Learning rate",
    "grad_norm": "Norm of the gradient",
    "tokens_per_second": "Tokens a second",
    "memory": "Memory",
}
"""What a row of ``metrics.jsonl`` holds that is shown as a curve, and what it is called."""


@dataclass(frozen=True)
class Summary:
    """The figures of a curve before it was thinned; places are conversations seen."""

    points: int
    first: float
    last: float
    lowest: float
    lowest_at: float
    highest: float
    highest_at: float


@dataclass
class Training:
    """What is shown of a training.

    Attributes:
        run: the run.
        curves: for each metric that has values, its curve along the conversations seen.
        summaries: the figures of each.
        phases: where each phase begins, and its name; empty for a training without phases.
        steps: optimizer steps done.
        checkpoints: the checkpoints, by age.
        handovers: what each phase handed over to the next, a sentence each.
        failure: why it failed, if it left a word about that.
        compared: what was foretold and what came of it, a row each: what, predicted, measured, and the difference.
    """

    run: RunFolder
    curves: dict[str, Curve] = field(default_factory=dict)
    summaries: dict[str, Summary] = field(default_factory=dict)
    phases: list[tuple[float, str]] = field(default_factory=list)
    steps: int = 0
    checkpoints: list[Checkpoint] = field(default_factory=list)
    handovers: list[str] = field(default_factory=list)
    failure: str = ""
    compared: list[tuple[str, str, str, str]] = field(default_factory=list)


def read_training(run: RunFolder) -> Training:
    """What a run folder of a training holds, as far as it is there; what cannot be read joins the run's findings."""
    found = Training(run)
    points: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in METRICS}
    before = 0.0
    for phase, folder in _phases(run):
        if phase:
            found.phases.append((before, phase))
        last = before
        for row in rows_of(folder / "metrics.jsonl", run.findings):
            place = number(row.get("samples"), 12) or number(row.get("step"), 12)
            if place is None or before + place < last:
                continue
            last = before + place
            found.steps += 1
            for name, (x, y) in points.items():
                if (value := number(row.get(name))) is not None:
                    x.append(last)
                    y.append(value)
        found.checkpoints += checkpoints_in(run, phase, folder)
        found.failure = found.failure or _failure(folder)
        before = last
    found.compared = [*_compared(run)]
    found.handovers = [*_handovers(run)]
    for name, (x, y) in points.items():
        if x:
            found.curves[name] = thin(x, y)
            found.summaries[name] = _summary(x, y)
    return found


def _phases(run: RunFolder) -> Iterator[tuple[str, Path]]:
    """The name and the folder of each phase in order, or no name and the run folder."""
    settings: Any = run.data.get("settings")
    phases = settings.get("phases") if isinstance(settings, dict) else None
    if not isinstance(phases, list) or not phases:
        yield "", run.folder
        return
    for at, phase in enumerate(phases):
        name = text(phase.get("name")) if isinstance(phase, dict) else ""
        name = phase_name(name, at)
        yield name, run.folder / Path(name).name


def _summary(x: list[float], y: list[float]) -> Summary:
    low, high = min(range(len(y)), key=y.__getitem__), max(range(len(y)), key=y.__getitem__)
    return Summary(len(y), y[0], y[-1], y[low], x[low], y[high], x[high])


def _handovers(run: RunFolder) -> Iterator[str]:
    """What each phase handed over to the next and why, a sentence each."""
    for row in rows_of(run.folder / "handovers.jsonl", run.findings):
        score, stderr = number(row.get("score"), 3), number(row.get("stderr"), 3)
        figure = "" if score is None else f" ({score:g}{'' if stderr is None else f' ± {stderr:g}'})"
        what = text(row.get("best")) or "its last checkpoint"
        yield f"{text(row.get('phase'))} handed over {what}{figure}: {text(row.get('why'))}"


def _compared(run: RunFolder) -> Iterator[tuple[str, str, str, str]]:
    """What ``run.yaml`` says of memory, time and disk, in words."""
    told = mapping(run.data.get("predicted_and_measured"))
    time = mapping(told.get("time"))
    kinds = {
        "memory": ("memory of a process, at most", memory_in_words),
        "time": (f"time after step {text(time.get('after_step'))}", time_in_words),
        "disk": ("left on the disk", size_in_words),
    }
    for kind, (name, way) in kinds.items():
        about = mapping(told.get(kind))
        predicted, measured = number(about.get("predicted"), 12), number(about.get("measured"), 12)
        if measured is None:
            continue
        off = f"{100 * (measured / predicted - 1):+.0f}%".replace("-", "\N{MINUS SIGN}") if predicted else ""
        yield name, "" if predicted is None else way(predicted), way(measured), off


def _failure(folder: Path) -> str:
    try:
        return short((folder / "failure.txt").read_text(encoding="utf-8", errors="replace").strip())
    except OSError:
        return ""
