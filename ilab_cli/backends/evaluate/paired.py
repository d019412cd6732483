"""Tests for pairs: whether one model is better than another on the same questions, or only luckier. Pure functions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

__all__ = ["mcnemar", "paired_bootstrap"]

_AT_ONCE = 2**20  # numbers drawn at once: so much memory, whatever the number of questions
_ALL_SIGNS = 12  # differences up to which every way of flipping them is counted, not a sample


def mcnemar(better: int, worse: int) -> float:
    """The exact p of McNemar's test, two-sided.

    Args:
        better: questions that only the second model has right.
        worse: questions that only the first model has right.

    Returns:
        how probable a split at least as uneven is if neither model is better; 1 where they never differ.
    """
    number = better + worse
    ways = ways_so_far = 1
    for more in range(min(better, worse)):
        ways = ways * (number - more) // (more + 1)
        ways_so_far += ways
    return float(min(1.0, 2 * ways_so_far / 2**number))


def paired_bootstrap(differences: Sequence[float], seed: int = 0, rounds: int = 10_000) -> tuple[float, float, float]:
    """How sure a mean difference is.

    The interval is that of the means of samples drawn with replacement. Drawn from a handful of questions it is too
    narrow, so the probability is taken otherwise: the sign of each difference is flipped at random, as if it were
    chance which of the two models an answer came from.

    Args:
        differences: for each question, the second model's score less the first one's.
        seed: of what is drawn: the same seed gives the same figures.
        rounds: samples that are drawn.

    Returns:
        low and high end of the 95 % interval of the mean difference, and the two-sided p of there being none.

    Raises:
        ValueError: if there are no differences.
    """
    import numpy as np

    if not len(differences):
        raise ValueError("there is nothing to compare")
    values = np.asarray(differences, dtype=float)
    draw = np.random.default_rng(seed)
    means = np.concatenate([values[places].mean(axis=1) for places in _places(draw, len(values), rounds)])
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high), _flipped(values, draw, rounds)


def _places(draw: Any, number: int, rounds: int) -> Iterator[np.ndarray]:
    """So many samples of that many questions, some at a time: a row for each."""
    step = max(1, _AT_ONCE // number)
    for done in range(0, rounds, step):
        yield draw.integers(0, number, (min(step, rounds - done), number))


def _flipped(values: Any, draw: Any, rounds: int) -> float:
    """The share of flips of signs that make the mean at least as large as it is."""
    import numpy as np

    found = abs(values.sum()) * (1 - 1e-9)  # the same sum in another order may be a little less
    if len(values) <= _ALL_SIGNS:
        signs = 1 - 2 * (np.arange(2 ** len(values))[:, None] >> np.arange(len(values)) & 1)
        return float(np.mean(np.abs(signs @ values) >= found))
    step = max(1, _AT_ONCE // len(values))
    extreme = 0
    for done in range(0, rounds, step):
        signs = 1 - 2 * draw.integers(0, 2, (min(step, rounds - done), len(values)), dtype=np.int8)
        extreme += int(np.sum(np.abs(signs @ values) >= found))
    return (extreme + 1) / (rounds + 1)
