"""Curves of a training, thinned to what a screen can show: of every stretch the lowest and the highest point stay.

So a spike of one step among 100,000 is still there, at its height and in its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["STRETCHES", "Curve", "thin"]

STRETCHES = 700
"""Into how many stretches of equal length a curve is cut: about as many as a chart has pixels."""


class Curve(NamedTuple):
    """Points in the order of ``x``."""

    x: list[float]
    y: list[float]


def thin(x: Sequence[float], y: Sequence[float], stretches: int = STRETCHES) -> Curve:
    """A curve of at most two points a stretch, and its first and last one; a short curve as it is.

    Args:
        x: positions, ascending.
        y: a finite value for each.
        stretches: into how many the curve is cut.
    """
    if len(x) <= 2 * stretches + 2:
        return Curve([*x], [*y])
    width = (x[-1] - x[0]) / stretches or 1.0
    extremes: dict[int, tuple[int, int]] = {}
    for at in range(1, len(x) - 1):
        stretch = min(int((x[at] - x[0]) / width), stretches - 1)
        low, high = extremes.get(stretch, (at, at))
        extremes[stretch] = (at if y[at] < y[low] else low, at if y[at] > y[high] else high)
    kept = sorted({0, len(x) - 1, *(at for pair in extremes.values() for at in pair)})
    return Curve([x[at] for at in kept], [y[at] for at in kept])
