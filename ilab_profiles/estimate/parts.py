"""A part of what a training takes of memory: a product of named numbers, so that what is shown is what was computed."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from ilab_profiles.estimate.setup import Setup

__all__ = ["Maker", "Part", "peak"]

_SAME = (1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Part:
    """What something takes of memory, in bytes.

    Attributes:
        name: what.
        bytes: what it most likely takes.
        low: what it takes at least.
        high: what it takes at most.
        formula: the names of the numbers that are multiplied.
        numbers: the numbers.
        source: where the formula, or a number, comes from.
        where: memory of the GPU, or main memory.
    """

    name: str
    bytes: float
    low: float
    high: float
    formula: str
    numbers: str
    source: str
    where: Literal["gpu", "main"]


def peak(parts: Iterable[Part], setup: Setup) -> float:
    """The sum of the parts that lie where the training runs."""
    where = "gpu" if setup.cuda else "main"
    return sum(part.bytes for part in parts if part.where == where)


class Maker:
    """Makes parts of named numbers, for one setup."""

    def __init__(self, setup: Setup) -> None:
        self.here: Literal["gpu", "main"] = "gpu" if setup.cuda else "main"

    def __call__(
        self,
        name: str,
        source: str,
        *,
        spread: tuple[float, float] = _SAME,
        away: bool = False,
        **factors: float,
    ) -> Part:
        """A part.

        Args:
            name: what it is.
            source: where the formula, or a number, comes from.
            spread: its least and its most, as shares of what is likely.
            away: whether it is in main memory although the training runs on a GPU.
            factors: the numbers whose product it is.
        """
        value = math.prod(factors.values())
        told = [(key.replace("_", " "), number) for key, number in factors.items() if number != 1]
        return Part(
            name,
            value,
            value * spread[0],
            value * spread[1],
            " * ".join(key for key, _ in told),
            " * ".join(_told(number) for _, number in told),
            source,
            "main" if away else self.here,
        )


def _told(number: float) -> str:
    return f"{number:,.0f}" if number >= 1000 or number == int(number) else f"{number:.4g}"
