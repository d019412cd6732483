"""How long a training still takes: what is left to do, at the speed at which the like of it went before.

A step takes a part that is the same for all (the optimizer, gradients on their way) and one that grows with its cost,
as packing weighs it. What is done between steps, to save and to validate, takes as long as it took before. The first
steps do not count: they compile, choose kernels and get memory. Pure arithmetic: who calls it holds the watch.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from statistics import fmean
from typing import NamedTuple

from ilab_cli.backends.train.disk import Room
from ilab_cli.backends.train.plan import BatchPlan
from ilab_cli.backends.train.validation import Validation

__all__ = ["Beside", "Remaining", "beside"]

_FIRST = 3
"""Steps at the start of a process that say nothing of the others."""
_FEWEST = 2
"""Steps after those by which the others are told."""
_LAST = 100
"""Steps by which the others are told, at most: a machine may slow down, or be shared from some time on."""
_DISK = 5e8
"""Bytes a second that a disk is taken to write before one has been seen to write: those of an SSD on SATA."""
_LARGE = 10**8
"""Bytes of a checkpoint from which on the time that it takes tells of the disk."""
_FILES = 0.03
"""Seconds that a save takes beside its bytes: small files, and the disk asked to hold them, until one is measured."""
_LOADING = 0.2
"""Seconds that the first save and the first validation take beside: they load modules."""
_FORWARD = 1 / 3
"""What validation costs of a step on as many tokens: the backward pass does twice the work of the forward pass (Kaplan
et al. 2020, section 2.1)."""


class Beside(NamedTuple):
    """What a training does beside its steps.

    Args:
        saves: the steps, from 0 and rising, after which a checkpoint is written.
        validations: those after which there is a validation.
        held_out: what one validation costs, in tokens.
        checkpoint: bytes of a checkpoint, with the state of the optimizer.
        export: bytes that are read and written for the final model.
    """

    saves: Sequence[int] = ()
    validations: Sequence[int] = ()
    held_out: float = 0
    checkpoint: int = 0
    export: int = 0


def beside(plan: BatchPlan, held: Validation, rooms: Sequence[Room] = ()) -> Beside:
    """What a training does beside its steps, as far as it is known before.

    Args:
        plan: the steps.
        held: what is validated when.
        rooms: what it writes, if that is known.
    """
    last = plan.steps - 1
    saves = [step for step in range(plan.steps) if step == last or plan.due(step, plan.train.save_samples)]
    saved = set(saves)
    validations = [step for step in range(plan.steps) if held.due(step, saved=step in saved)]
    checkpoint = sum(room.checkpoint + room.optimizer for room in rooms)
    return Beside(saves, validations, held.cost, checkpoint, sum(2 * room.model for room in rooms))


class Remaining:
    """How long a training still takes.

    Args:
        plan: the steps.
        beside: what is done between them.
    """

    def __init__(self, plan: BatchPlan, beside: Beside) -> None:
        self._plan, self._beside = plan, beside
        self._steps: deque[tuple[float, float]] = deque(maxlen=_LAST)
        self._first = 0
        self._saves: list[float] = []
        self._validations: list[float] = []

    def stepped(self, step: int, seconds: float) -> None:
        """A step (from 0) took so long."""
        self._first += 1
        if self._first > _FIRST:
            self._steps.append((self._cost(step, step + 1), seconds))

    def saved(self, seconds: float) -> None:
        """A checkpoint took so long."""
        self._saves.append(seconds)

    def validated(self, seconds: float) -> None:
        """A validation took so long."""
        self._validations.append(seconds)

    def after(self, step: int) -> float | None:
        """Seconds from the end of a step (from 0), and of the validation after it, to the end of the training.

        Returns:
            the seconds; ``None`` before enough steps have been measured.
        """
        if len(self._steps) < _FEWEST:
            return None
        each, cost = _line(self._steps)
        total = self._plan.steps
        steps = each * (total - step - 1) + cost * self._cost(step + 1, total)
        saves = len(self._beside.saves) - bisect_left(self._beside.saves, step)
        validations = len(self._beside.validations) - bisect_left(self._beside.validations, step + 1)
        save = _each(self._saves, self._guess)
        validation = _each(self._validations, self._token * _FORWARD * self._beside.held_out)
        loading = 0 if self._saves else _LOADING
        return steps + saves * save + loading + validations * validation + self._beside.export / self._speed

    def _cost(self, first: int, last: int) -> float:
        return self._plan.cost_seen(last) - self._plan.cost_seen(first)

    @property
    def _token(self) -> float:
        """Seconds of a token of cost, all in all."""
        return sum(seconds for _, seconds in self._steps) / sum(cost for cost, _ in self._steps)

    @property
    def _guess(self) -> float:
        """Seconds of a save before there was one."""
        return _FILES + self._beside.checkpoint / _DISK

    @property
    def _speed(self) -> float:
        """Bytes a second of the disk."""
        is_seen = self._saves and self._beside.checkpoint > _LARGE
        return self._beside.checkpoint / _each(self._saves, self._guess) if is_seen else _DISK


def _each(seconds: Sequence[float], guess: float) -> float:
    """Seconds of the next of its kind; the first one also took what is done once."""
    if len(seconds) > 1:
        return fmean(seconds[1:])
    return max(seconds[0] - _LOADING, min(seconds[0], guess)) if seconds else guess


def _line(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Seconds of any step, and of each token of its cost: least squares, neither of them below zero."""
    costs, seconds = zip(*points, strict=True)
    cost, time = fmean(costs), fmean(seconds)
    spread = sum((each - cost) ** 2 for each in costs)
    slope = sum((x - cost) * (y - time) for x, y in points) / spread if spread else time / cost
    slope = min(max(slope, 0), time / cost)
    return time - slope * cost, slope
