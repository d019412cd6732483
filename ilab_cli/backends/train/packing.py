"""Packing: samples into microbatches that cost about the same, and a whole data set into rows of one width.

Bin packing, on lengths alone: no torch, no I/O, and the same outcome in every process. A microbatch holds so many
*tokens* at most; what it *costs* grows faster than its tokens, for attention looks from every token at those before it.
"""

from __future__ import annotations

import heapq
import math
from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Rows", "costs", "fill_rows", "microbatches"]

_Bins = list[list[int]]
_TRIES = 20_000
"""Placements that the exhaustive search may try before it gives up: about 10 ms."""


def costs(tokens: NDArray[np.int64], hidden: int) -> NDArray[np.float64]:
    """What samples cost, in tokens: ``t + t² / (12 · hidden)``.

    A transformer layer does 24·hidden² operations a token in its matrices, and 2·hidden·t in causal attention over t
    tokens (Kaplan et al. 2020, table 1); the quotient of the two sums is this.

    Args:
        tokens: int64 ``[samples]``.
        hidden: width of the model.
    """
    return tokens + tokens.astype(float) ** 2 / (12 * hidden)


# --- microbatches -----------------------------------------------------------------------------------------------------


def microbatches(tokens: NDArray[np.int64], ranks: int, room: int, hidden: int) -> list[list[list[int]]]:
    """Pack the samples of a global batch, without padding.

    Every rank gets the same number of microbatches, the fewest that can be found. Those that run at the same time, the
    n-th of every rank, cost about the same: nobody waits long for the others.

    Args:
        tokens: int64 ``[samples]``.
        ranks: number of processes.
        room: most tokens of a microbatch.
        hidden: width of the model.

    Returns:
        ``[rank][microbatch][sample]``, samples by their index in ``tokens``. Where there are fewer samples than ranks,
        some microbatches are empty.

    Raises:
        ValueError: if a sample alone has more tokens than ``room``.
    """
    order = np.argsort(-tokens, kind="stable")
    sizes = tokens[order].tolist()
    if sizes and sizes[0] > room:
        raise ValueError(f"a sample of {sizes[0]} tokens does not fit a microbatch of {room}")
    weights = costs(tokens[order], hidden).tolist()
    count = max(1, math.ceil(_bound(sizes, room) / ranks))
    while not (bins := _pack(sizes, weights, count * ranks, room)):
        count += 1
    bins.sort(key=lambda samples: -sum(weights[sample] for sample in samples))
    named = [[int(order[sample]) for sample in samples] for samples in bins]
    return [[named[step * ranks + rank] for step in range(count)] for rank in range(ranks)]


def _bound(sizes: Sequence[int], room: int) -> int:
    """Bins that any packing needs: by volume, and by the samples of which no two fit together."""
    return max(math.ceil(sum(sizes) / room), sum(2 * size > room for size in sizes))


def _pack(sizes: list[int], weights: list[float], bins: int, room: int) -> _Bins | None:
    """The samples in so many bins, by the quickest way that finds a packing; ``None`` if none does."""
    return (
        _spread(sizes, weights, bins, room)
        or _fit(sizes, bins, room)
        or _brim(sizes, bins, room)
        or _search(sizes, bins, room)
    )


def _spread(sizes: list[int], weights: list[float], bins: int, room: int) -> _Bins | None:
    """Each sample, the longest first, into the cheapest bin that has room for it (LPT, Graham 1969)."""
    packed: _Bins = [[] for _ in range(bins)]
    free = [room] * bins
    heap = [(0.0, number) for number in range(bins)]
    for sample, size in enumerate(sizes):
        full = []
        while heap and free[heap[0][1]] < size:
            full.append(heapq.heappop(heap))
        if not heap:
            return None
        cost, number = heap[0]
        heapq.heapreplace(heap, (cost + weights[sample], number))
        for item in full:
            heapq.heappush(heap, item)
        free[number] -= size
        packed[number].append(sample)
    return packed


def _fit(sizes: list[int], bins: int, room: int) -> _Bins | None:
    """Each sample, the longest first, into the fullest bin that has room for it (best-fit decreasing)."""
    packed: _Bins = [[] for _ in range(bins)]
    free = [(room, number) for number in range(bins)]
    for sample, size in enumerate(sizes):
        at = bisect_left(free, (size, -1))
        if at == len(free):
            return None
        left, number = free.pop(at)
        insort(free, (left - size, number))
        packed[number].append(sample)
    return packed


def _brim(sizes: list[int], bins: int, room: int) -> _Bins | None:
    """Bin after bin: the longest sample that is left, and those that leave the least room beside it (subset sums)."""
    left = list(range(len(sizes)))
    packed: _Bins = []
    while left:
        if len(packed) == bins:
            return None
        first, *others = left
        mask = (1 << (room - sizes[first] + 1)) - 1
        sums = [1]  # bit n of the k-th number: whether some of the first k others have n tokens together
        for sample in others:
            sums.append((sums[-1] | sums[-1] << sizes[sample]) & mask)
        target = sums[-1].bit_length() - 1
        chosen = [first]
        for sample, without in zip(reversed(others), reversed(sums[:-1]), strict=True):
            if not without >> target & 1:
                chosen.append(sample)
                target -= sizes[sample]
        packed.append(chosen)
        taken = set(chosen)
        left = [sample for sample in left if sample not in taken]
    return packed + [[] for _ in range(bins - len(packed))]


def _search(sizes: list[int], bins: int, room: int) -> _Bins | None:
    """Try all packings, up to a number of placements; bins with as much room left are tried once."""
    packed: _Bins = [[] for _ in range(bins)]
    free = [room] * bins
    slack = bins * room - sum(sizes)
    tries = _TRIES

    def place(sample: int, slack: int) -> bool:
        nonlocal tries
        if sample == len(sizes):
            return True
        size, seen = sizes[sample], set[int]()
        for number in sorted(range(bins), key=free.__getitem__):
            if tries == 0:
                return False
            if free[number] < size or free[number] in seen:
                continue
            tries -= 1
            seen.add(free[number])
            free[number] -= size
            packed[number].append(sample)
            lost = free[number] if free[number] < sizes[-1] else 0  # no sample is short enough for what is left there
            if lost <= slack and place(sample + 1, slack - lost):
                return True
            packed[number].pop()
            free[number] += size
        return False

    return packed if len(sizes) < 500 and place(0, slack) else None


# --- rows of one width ------------------------------------------------------------------------------------------------


class Rows(NamedTuple):
    """Samples in rows.

    Args:
        samples: int64 ``[samples]``, numbers of the samples, row after row.
        offsets: int64 ``[rows + 1]``; row ``i`` is ``samples[offsets[i]:offsets[i + 1]]``.
    """

    samples: NDArray[np.int64]
    offsets: NDArray[np.int64]

    @classmethod
    def single(cls, samples: int) -> Rows:
        """Each sample is a row of its own."""
        return cls(np.arange(samples), np.arange(samples + 1))


def fill_rows(tokens: NDArray[np.int64], width: int) -> Rows:
    """Pack a whole data set into rows of at most ``width`` tokens: best-fit decreasing.

    Samples of one length are placed together into rows that have as much room left, so that the work grows with the
    number of different lengths: a million samples take a fraction of a second.

    Args:
        tokens: int64 ``[samples]``, none longer than ``width``.
        width: tokens of a row.
    """
    order = np.argsort(-tokens, kind="stable")
    lengths, starts, counts = np.unique(-tokens[order], return_index=True, return_counts=True)
    row_of: NDArray[np.int64] = np.empty(len(tokens), np.int64)
    shelf = _Shelf(width)
    for size, start, count in zip((-lengths).tolist(), starts.tolist(), counts.tolist(), strict=True):
        end = start + count
        while start < end:
            free, rows = shelf.take(size, end - start)
            each = min(free // size, end - start)
            rows, rest = np.split(rows, [max((end - start) // each, 1)])
            placed: NDArray[np.int64] = np.repeat(rows, each)
            row_of[start : start + len(placed)] = placed
            start += len(placed)
            shelf.put(free - each * size, rows)
            shelf.put(free, rest)
    by_row = np.argsort(row_of, kind="stable")
    offsets = np.concatenate([[0], np.cumsum(np.bincount(row_of, minlength=shelf.rows))])
    return Rows(order[by_row], offsets)


@dataclass(eq=False)
class _Shelf:
    """Rows that are not full, by the tokens that are free in them."""

    width: int
    rows: int = 0
    _by_room: dict[int, NDArray[np.int64]] = field(default_factory=dict)
    _rooms: list[int] = field(default_factory=list)

    def take(self, size: int, count: int) -> tuple[int, NDArray[np.int64]]:
        """The rows with the least room of at least ``size``; if there are none, new ones for ``count`` samples."""
        at = bisect_left(self._rooms, size)
        if at < len(self._rooms):
            room = self._rooms.pop(at)
            return room, self._by_room.pop(room)
        made = np.arange(self.rows, self.rows + math.ceil(count / (self.width // size)))
        self.rows += len(made)
        return self.width, made

    def put(self, room: int, rows: NDArray[np.int64]) -> None:
        """Put rows (back) that have so much room."""
        if not room or not len(rows):
            return
        if room in self._by_room:
            rows = np.concatenate([self._by_room[room], rows])
        else:
            insort(self._rooms, room)
        self._by_room[room] = rows
