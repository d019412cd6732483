"""Runs side by side: settings in which they differ, and how far scores differ from those of the first run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

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
        pairs: the figures of both for each question that both were asked; where these are all that the scores are
            of, the interval is that of the mean of their differences, else one for runs that have nothing in common.
    """
    value = other.score - base.score
    if len(pairs) > 1 and len(pairs) == base.count == other.count:
        between = [after - before for before, after in pairs]
        mean = sum(between) / len(between)
        error = math.sqrt(sum((one - mean) ** 2 for one in between) / (len(between) - 1) / len(between))
    elif base.stderr is not None and other.stderr is not None:
        error = math.hypot(base.stderr, other.stderr)
    else:
        return Difference(value, None, None)
    return Difference(value, value - Z * error, value + Z * error)


@dataclass(frozen=True)
class Change:
    """How many of the questions that two runs were both asked the later one answered better, worse and as well.

    Attributes:
        improved: number of questions.
        regressed: number of questions.
        unchanged: number of questions.
        p: of the exact sign test: how likely so uneven a change is where nothing changed (for right and wrong answers
            that is McNemar's test); ``None`` if nothing changed.
    """

    improved: int
    regressed: int
    unchanged: int
    p: float | None


def changes(pairs: Sequence[tuple[float, float]]) -> Change | None:
    """What changed from the first run to another one; ``None`` if they have no question in common."""
    if not pairs:
        return None
    better, worse = sum(after > before for before, after in pairs), sum(after < before for before, after in pairs)
    return Change(better, worse, len(pairs) - better - worse, _sign_test(better, worse))


def paired(asked: Asked, base: int, column: int) -> dict[str, list[tuple[float, float]]]:
    """The figures of one run and of another one for each question that both answered.

    Returns:
        those of each task or category by its name, and all of them under an empty one.
    """
    found: dict[str, list[tuple[float, float]]] = {"": []}
    for place, value in asked.values[base].items():
        if (other := asked.values[column].get(place)) is not None:
            found[""].append((value, other))
            found.setdefault(asked.facets[asked.rows[place][0]], []).append((value, other))
    return found


def _sign_test(better: int, worse: int) -> float | None:
    """Two-sided p of the sign test; exact, and by the normal distribution where thousands changed."""
    total, fewer = better + worse, min(better, worse)
    if not total:
        return None
    if total > 1000:
        distance = max(abs(better - worse) - 1, 0) / math.sqrt(total)
        return math.erfc(distance / math.sqrt(2))
    ways = sum(math.comb(total, count) for count in range(fewer + 1))
    return min(1.0, 2.0 * ways / 2.0**total)
