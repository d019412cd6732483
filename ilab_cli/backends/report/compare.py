"""Runs side by side: settings in which they differ, and how far scores differ from those of the first run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from ilab_cli.backends.evaluate.paired import mcnemar, paired_bootstrap
from ilab_cli.backends.report.answers import Asked
from ilab_cli.backends.report.folders import RunFolder
from ilab_cli.backends.report.scores import Figure, Z

__all__ = ["Change", "Difference", "Setting", "changes", "difference", "paired", "settings"]


@dataclass(frozen=True)
class Setting:
    """A setting with its value and origin in each run, ``None`` where a run has no such setting."""

    path: str
    values: list[str | None]
    origins: list[str]

    @property
    def differs(self) -> bool:
        """Whether the runs disagree."""
        return len({*self.values}) > 1

    @property
    def is_set(self) -> bool:
        """Whether somebody set it, in any run."""
        return any(self.origins)


def settings(runs: Sequence[RunFolder]) -> list[Setting]:
    """All settings of runs of one kind, in their order."""
    paths = dict.fromkeys(path for run in runs for path in run.settings)
    return [
        Setting(path, [run.settings.get(path) for run in runs], [run.origins.get(path, "") for run in runs])
        for path in paths
    ]


@dataclass(frozen=True)
class Difference:
    """How far a score is from that of the first run, with an interval of 95% where one can be told."""

    value: float
    low: float | None
    high: float | None

    @property
    def verdict(self) -> str:
        """``improved`` or ``regressed`` if the interval lies on one side of 0, ``unclear`` if not, else empty."""
        if self.low is None or self.high is None:
            return ""
        return "improved" if self.low > 0 else "regressed" if self.high < 0 else "unclear"


def difference(base: Figure, other: Figure, pairs: Sequence[tuple[float, float]]) -> Difference:
    """The difference of two scores.

    Args:
        base: the score of the first run.
        other: that of another one.
        pairs: the figures of both for each question that both were asked; where they tell as large a difference, the
            interval is that of the mean of their differences, else one for runs that have nothing in common.
    """
    value = other.score - base.score
    if len(pairs) > 1:
        between = [after - before for before, after in pairs]
        error = stdev(between) / math.sqrt(len(between))
        if abs(fmean(between) - value) <= 0.1 * error + 1e-5:
            return Difference(value, value - Z * error, value + Z * error)
    if base.stderr is None or other.stderr is None:
        return Difference(value, None, None)
    error = math.hypot(base.stderr, other.stderr)
    return Difference(value, value - Z * error, value + Z * error)


@dataclass(frozen=True)
class Change:
    """How many of the questions that two runs were both asked the later one answered better, worse and as well.

    Attributes:
        improved: number of questions.
        regressed: number of questions.
        unchanged: number of questions.
        p: how likely as large a change is by chance alone, as ``ilab model compare`` tells it.
    """

    improved: int
    regressed: int
    unchanged: int
    p: float


def changes(pairs: Sequence[tuple[float, float]], *, share: bool) -> Change | None:
    """What changed from the first run to another one; ``None`` if they have no question in common.

    Args:
        pairs: the figures of both for each question.
        share: whether they are right or wrong; else they are points.
    """
    if not pairs:
        return None
    better, worse = sum(after > before for before, after in pairs), sum(after < before for before, after in pairs)
    p = mcnemar(better, worse) if share else paired_bootstrap([after - before for before, after in pairs])[2]
    return Change(better, worse, len(pairs) - better - worse, p)


def paired(asked: Asked, base: int, column: int) -> dict[str, list[tuple[float, float]]]:
    """The figures of one run and of another one for each question that both answered, the mean over its turns.

    Returns:
        those of each task or category by its name, and all of them under an empty one.
    """
    first, other = asked.values[base], asked.values[column]
    found: dict[str, list[tuple[float, float]]] = {"": []}
    for places in asked.questions.values():
        if all(place in first and place in other for place in places):
            pair = fmean(first[place] for place in places), fmean(other[place] for place in places)
            found[""].append(pair)
            found.setdefault(asked.facets[asked.rows[places[0]][0]], []).append(pair)
    return found
