"""What a training will do and take, told before it is launched: steps and tokens of each phase, memory, disk."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ilab_cli.backends.base import memory_in_words, size_in_words
from ilab_cli.backends.outcome import Outcome
from ilab_cli.backends.train import disk, memory
from ilab_cli.backends.train.architecture import configuration, fitted
from ilab_cli.backends.train.data import dataset
from ilab_cli.backends.train.plan import BatchPlan
from ilab_profiles import Train
from ilab_profiles.diagnostics import counted

__all__ = ["foretold"]


def foretold(train: Train) -> Outcome:
    """What a training will come to, from sound settings, data and model; writes nothing.

    Raises:
        InputError: if they are not sound.
    """
    config = configuration(train)
    runs = [run.model_copy(update={"model_path": train.model_path}) for run in train.runs()]
    plans = [BatchPlan(fitted(run, config), dataset.examine(run).lengths, config.hidden_size) for run in runs]
    phases = [dict(_steps(name, plan)) for name, plan in zip(train.phase_names or [""], plans, strict=True)]
    lines = [_line(**each) for each in phases]
    figures: dict[str, Any] = {"phases": phases, "memory": None, "disk": None}
    if takes := memory.estimate(train, max(int(plan.lengths.max()) for plan in plans)):
        figures["memory"] = {"predicted": takes.peak, "low": takes.low, "high": takes.high, "room": takes.room}
        low, high = memory_in_words(takes.low), memory_in_words(takes.high)
        lines.append(f"memory: about {memory_in_words(takes.peak)} of each process ({low} to {high})")
    if rooms := disk.room_of(train, plans):
        left = sum(room.at_end for room in rooms)
        figures["disk"] = {"predicted": left, "most": disk.at_most(rooms)}
        lines.append(f"disk: {size_in_words(left)} at the end, {size_in_words(disk.at_most(rooms))} at most")
    return Outcome(figures=figures, lines=tuple(lines))


def _steps(name: str, plan: BatchPlan) -> Iterator[tuple[str, Any]]:
    if name:
        yield "phase", name
    yield "conversations", len(plan.lengths)
    yield "steps", plan.steps
    yield "tokens", plan.tokens_seen(plan.steps)


def _line(phase: str = "", **figures: int) -> str:
    conversations, steps, tokens = (counted(f"{figure:,}", name) for name, figure in figures.items())
    return f"{phase and f'{phase}: '}{conversations} in {steps}, {tokens}"
