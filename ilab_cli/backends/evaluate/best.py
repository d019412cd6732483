"""The best of several checkpoints: by which figure, how sure that is, and where it is put. Loads no model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ilab_cli.backends.train.checkpoint import begin, link_model
from ilab_cli.backends.train.files import replace_folder

__all__ = ["Figure", "best_of", "figure", "note", "put"]

_WHOLE = {"mt_bench": 10.0, "mt_bench_branch": 10.0}
"""What a benchmark's score is a part of, where that is not one."""
_SURE = 1.96
"""Standard errors within which 95 of 100 differences lie that are chance alone."""


class Figure(NamedTuple):
    """What checkpoints are compared by.

    Attributes:
        score: from 0 to 1.
        stderr: its standard error; ``None`` where a benchmark has none.
    """

    score: float
    stderr: float | None


def figure(benchmarks: Mapping[str, Mapping[str, Any]], metric: str) -> Figure:
    """The figure of one checkpoint.

    Args:
        benchmarks: what each benchmark found: its ``score`` and ``stderr``.
        metric: the benchmark that counts, or ``mean`` for the mean of all, each as a part of its highest score.
    """
    names = list(benchmarks) if metric == "mean" else [metric]
    scores = [benchmarks[name]["score"] / _WHOLE.get(name, 1.0) for name in names]
    errors = [benchmarks[name]["stderr"] for name in names]
    parts = [error / _WHOLE.get(name, 1.0) for name, error in zip(names, errors, strict=True) if error is not None]
    stderr = math.hypot(*parts) / len(names) if len(parts) == len(names) else None
    return Figure(sum(scores) / len(scores), stderr)


def best_of(figures: Sequence[Figure]) -> int:
    """The place of the best one; the first of equals."""
    return max(range(len(figures)), key=lambda place: (figures[place].score, -place))


def note(figures: Mapping[str, Figure]) -> str:
    """Whether the best one is surely better than the next, in a sentence; empty where there is nothing to say.

    Both answered the same questions, so their errors are taken as independent: that errs on the side of caution.
    """
    if len(figures) < 2:
        return ""
    names, found = list(figures), list(figures.values())
    first = best_of(found)
    rest = [place for place in range(len(found)) if place != first]
    second = rest[best_of([found[place] for place in rest])]
    one, two = found[first], found[second]
    apart = one.score - two.score
    if one.stderr is None or two.stderr is None:
        return ""
    noise = _SURE * math.hypot(one.stderr, two.stderr)
    if apart > noise:
        return ""
    if not apart:
        return f"{names[second]} is as good as {names[first]}: more questions would tell them apart"
    told = f"{names[first]} is ahead of {names[second]} by {apart:.3f}"
    return f"{told}, which is within the noise of {noise:.3f}: more questions would tell them apart"


def put(checkpoint: Path, folder: Path) -> None:
    """Let a folder hold the model of a checkpoint whole, as hard links where the disk has them."""
    temporary = begin(folder)
    link_model(checkpoint, temporary)
    replace_folder(temporary, folder)
