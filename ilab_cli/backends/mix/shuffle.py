"""A shuffle of more rows than memory holds, in two steps that each divide into tasks of their own.

``deal`` lays the rows of a chunk by their keys into buckets, all in one spill file; ``gather`` reads one bucket out of
every spill file, sorts it by key and writes it to its place in the output. Each step reads and writes from front to
back, so that it runs at the speed of the disk where the data do not fit into its cache. Which rows there are and which
keys they have is said in :mod:`ilab_cli.backends.mix.sampling`; the output depends on that alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ilab_cli.backends.jsonl import Chunk
from ilab_cli.backends.mix.rows import rows_of, with_system_prompt
from ilab_cli.backends.mix.sampling import Pass, keys

__all__ = ["DataChangedError", "Deal", "Gather", "deal", "gather"]


class DataChangedError(Exception):
    """A data set changed while it was read; says which."""


@dataclass(frozen=True, slots=True)
class Deal:
    """One chunk, to be laid into buckets.

    Args:
        chunk: where the rows are.
        start: number of the chunk's first row in the data set.
        rows: number of its rows when it was checked.
        turns: the passes that take rows from it.
        seed: seed of the keys to sort by.
        buckets: number of buckets.
        system_prompt: system message for every row; ``None`` leaves the rows as they are.
        spill: the file to write.
    """

    chunk: Chunk
    start: int
    rows: int
    turns: tuple[Pass, ...]
    seed: int
    buckets: int
    system_prompt: str | None
    spill: Path


@dataclass(frozen=True, slots=True)
class Gather:
    """One bucket, to be sorted and written.

    Args:
        bucket: its number.
        buckets: number of buckets.
        spills: folder with the spill files; sorted by name they are in the order of the rows.
        output: the file to write to.
        offset: byte at which the bucket begins in it.
    """

    bucket: int
    buckets: int
    spills: Path
    output: Path
    offset: int


def deal(task: Deal) -> NDArray[np.int64]:
    """Write the rows that are taken from a chunk to its spill file, bucket by bucket.

    The file begins with a table, int64 ``[buckets + 1, 2]``: where each bucket begins (the last one: where the file
    ends), and the number of its rows. A bucket is the keys of its rows (uint64), then the rows, a line each.

    Returns:
        bytes of each bucket, int64 ``[buckets]``.

    Raises:
        DataChangedError: if the chunk does not hold what it held when it was checked.
        OSError: if a file cannot be read or written.
    """
    rows = rows_of(task.chunk)
    if len(rows) != task.rows:
        raise DataChangedError(str(task.chunk.file))
    taken, key = _taken(task)
    bucket = _bucket_of(key, task.buckets)
    order = np.argsort(bucket, kind="stable")
    ends = np.cumsum(np.bincount(bucket, minlength=task.buckets))
    chosen = [rows[index] for index in taken[order].tolist()]
    del rows
    if task.system_prompt is not None:
        chosen = [with_system_prompt(row, task.system_prompt) for row in chosen]
    key = key[order]
    table: NDArray[np.int64] = np.zeros((task.buckets + 1, 2), dtype=np.int64)
    with task.spill.open("wb") as stream:
        stream.seek(table.nbytes)
        for number, (first, last) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
            table[number] = stream.tell(), last - first
            if first < last:
                stream.write(key[first:last].tobytes())
                stream.write(b"\n".join(chosen[first:last]))
                stream.write(b"\n")
        table[-1] = stream.tell(), 0
        stream.seek(0)
        stream.write(table.tobytes())
    return np.diff(table[:, 0]) - 8 * table[:-1, 1]


def _taken(task: Deal) -> tuple[NDArray[np.intp], NDArray[np.uint64]]:
    """The rows that all passes take from the chunk, counted from its first, and the key of each."""
    taken = [turn.taken(task.start, task.rows) for turn in task.turns]
    key = [
        keys(task.seed, turn.first + task.start, task.rows)[rows] for turn, rows in zip(task.turns, taken, strict=True)
    ]
    return np.concatenate(taken), np.concatenate(key)


def gather(task: Gather) -> int:
    """Sort one bucket by key and write it to its place in the output.

    Returns:
        the number of its rows.

    Raises:
        OSError: if a file cannot be read or written.
    """
    found: list[NDArray[np.uint64]] = []
    rows: list[bytes] = []
    for spill in sorted(task.spills.iterdir()):
        with spill.open("rb") as stream:
            stream.seek(16 * task.bucket)
            begin, count, end, _ = np.frombuffer(stream.read(32), dtype=np.int64).tolist()
            stream.seek(begin)
            found.append(np.frombuffer(stream.read(8 * count), dtype=np.uint64))
            rows += stream.read(end - begin - 8 * count).split(b"\n")[:-1]
    if rows:
        order = np.argsort(np.concatenate(found), kind="stable")
        text = b"\n".join([rows[index] for index in order.tolist()])
        with task.output.open("r+b") as output:
            output.seek(task.offset)
            output.write(text)
            output.write(b"\n")
    return len(rows)


def _bucket_of(key: NDArray[np.uint64], buckets: int) -> NDArray[np.intp]:
    """Buckets divide the range of keys evenly: all keys of one are less than those of the next."""
    return ((key >> np.uint64(32)) * np.uint64(buckets) >> np.uint64(32)).astype(np.intp)
