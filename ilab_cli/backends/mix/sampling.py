"""Which rows are taken, and in which order: everything that chance decides, as functions of seeds and row numbers.

Every row has a random 64-bit key that can be computed from its number alone. The rows with the smallest keys are the
sample, and sorting by keys of another seed is the shuffle; so neither depends on how the work is divided. Keys come
from SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014), which maps different
numbers to different keys: a sample has exactly the size asked for. numpy's own samplers may change with its versions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

__all__ = ["Pass", "keys", "passes", "rows_taken", "seed_of"]

_BLOCK = 2**20
_DIGIT = 16


@dataclass(frozen=True, slots=True)
class Pass:
    """One reading of a data set.

    Args:
        first: number of its first row; rows of different passes have different numbers.
        seed: seed of the sample.
        limit: greatest key of a row that is taken; ``None`` takes every row.
    """

    first: int
    seed: int
    limit: int | None

    def taken(self, start: int, count: int) -> NDArray[np.intp]:
        """Which of the ``count`` rows from row ``start`` of the data set on are taken, counted from ``start``."""
        if self.limit is None:
            return np.arange(count)
        return np.flatnonzero(keys(self.seed, start, count) <= np.uint64(self.limit))


def seed_of(*parts: object) -> int:
    """A 64-bit seed for what the parts name."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8], "little")


def keys(seed: int, start: int, count: int) -> NDArray[np.uint64]:
    """The keys of ``count`` rows from number ``start`` on: uint64 ``[count]``, no two alike."""
    key: NDArray[np.uint64] = np.arange(start + 1, start + count + 1, dtype=np.uint64)
    key *= np.uint64(0x9E3779B97F4A7C15)
    key += np.uint64(seed)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        key ^= key >> np.uint64(shift)
        key *= np.uint64(factor)
    key ^= key >> np.uint64(31)
    return key


def rows_taken(sampling_size: int | float, rows: int) -> int:
    """How many rows a sampling size takes from ``rows``: a count as it is, a ratio rounded down.

    A ratio counts as the decimal number that is written: 0.29 of 100 rows are 29, though the nearest binary fraction
    is less.
    """
    return sampling_size if isinstance(sampling_size, int) else int(Fraction(repr(sampling_size)) * rows)


def passes(taken: int, rows: int, seed: int) -> Iterator[Pass]:
    """The readings that take ``taken`` of ``rows`` rows: all of them, as often as they fit, then a sample."""
    whole, rest = divmod(taken, rows)
    for number in range(whole):
        yield Pass(number * rows, seed, None)
    if rest:
        yield Pass(whole * rows, seed, _smallest(seed, rows, rest))


def _smallest(seed: int, rows: int, rank: int) -> int:
    """The key with this rank (from 1) among those of all rows, found digit by digit with counts alone."""
    found = 0
    for shift in range(64 - _DIGIT, -1, -_DIGIT):
        counts = np.zeros(2**_DIGIT, dtype=np.int64)
        for start in range(0, rows, _BLOCK):
            key = keys(seed, start, min(_BLOCK, rows - start))
            if shift < 64 - _DIGIT:
                key = key[key >> np.uint64(shift + _DIGIT) == np.uint64(found)]
            digits = (key >> np.uint64(shift)) & np.uint64(2**_DIGIT - 1)
            counts += np.bincount(digits.astype(np.intp), minlength=2**_DIGIT)
        upto = np.cumsum(counts)
        digit = int(np.searchsorted(upto, rank))
        rank -= int(upto[digit] - counts[digit])
        found = found << _DIGIT | digit
    return found
