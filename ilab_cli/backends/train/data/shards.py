"""Tokenised conversations on disk: written in shards as they come, mapped into memory by every process of a run.

A folder holds ``00000.tokens``, ``00001.tokens``, …: the samples end to end, int32 ``[tokens]``, little-endian, where a
token ``t`` that is not learned is kept as ``~t``, which is negative; ``samples.lengths``, the tokens of each sample,
int32 ``[samples]``; and ``samples.json``, written last: what else there is to know. No sample goes over the end of a
shard.
"""

from __future__ import annotations

import json
import mmap
from bisect import bisect_right
from dataclasses import asdict, dataclass
from itertools import accumulate
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["Facts", "Samples", "Writer", "joined", "load"]

_ABOUT = "samples.json"
_LENGTHS = "samples.lengths"
_DTYPE = np.dtype("<i4")
_SHARD = 2**29
"""Bytes after which a shard ends."""
_READS = 2048
"""Samples that are read before their pages are given back: each brings up to 64 KiB into memory."""


@dataclass(frozen=True)
class Facts:
    """What is known of samples beside their tokens.

    Args:
        fingerprint: hash of data, tokenizer, template and length limit.
        left_out: number of conversations of which no sample was made, for their length.
        truncated: number of samples that are the beginning of a longer conversation.
        highest: the highest token.
        shards: number of samples in each shard.
    """

    fingerprint: str
    left_out: int
    truncated: int
    highest: int
    shards: tuple[int, ...] = ()


class Samples:
    """All samples of a run, in the order of the data; only what is read of them is brought into memory.

    Attributes:
        facts: what is known of them.
        lengths: tokens of each sample, int64 ``[samples]``.
    """

    def __init__(self, folder: Path, facts: Facts) -> None:
        self.facts = facts
        self.lengths: NDArray[np.int64] = np.fromfile(folder / _LENGTHS, _DTYPE).astype(np.int64)
        if len(self.lengths) != sum(facts.shards):
            raise ValueError(f"{folder / _LENGTHS} is not whole")
        self._offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(self.lengths)])
        self._firsts = [0, *accumulate(facts.shards)]
        self._maps = [self._map(folder, number) for number in range(len(facts.shards))]
        self._shards = [np.frombuffer(each, _DTYPE) for each in self._maps]
        self._reads = 0

    def _map(self, folder: Path, number: int) -> mmap.mmap:
        path = _shard(folder, number)
        first, last = self._firsts[number : number + 2]
        with path.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        if len(mapped) != (self._offsets[last] - self._offsets[first]) * _DTYPE.itemsize:
            raise ValueError(f"{path} is not whole")
        if hasattr(mmap, "MADV_RANDOM"):
            mapped.madvise(mmap.MADV_RANDOM)
        return mapped

    @property
    def fingerprint(self) -> str:
        """Hash of data, tokenizer, template and length limit."""
        return self.facts.fingerprint

    @property
    def left_out(self) -> int:
        """Number of conversations of which no sample was made, for their length."""
        return self.facts.left_out

    @property
    def truncated(self) -> int:
        """Number of samples that are the beginning of a longer conversation."""
        return self.facts.truncated

    @property
    def highest(self) -> int:
        """The highest token of all samples."""
        return self.facts.highest

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """The tokens of a sample, int32 ``[tokens]``, and which of them the loss counts, bool ``[tokens]``."""
        index = range(len(self))[index]
        shard = bisect_right(self._firsts, index) - 1
        start, stop = self._offsets[index : index + 2] - self._offsets[self._firsts[shard]]
        tokens = self._shards[shard][start:stop]
        learned = tokens >= 0
        ids = np.where(learned, tokens, ~tokens)
        self._give_back()
        return ids, learned

    def _give_back(self) -> None:
        """Take the pages read so far out of our memory now and then; the system may keep them in its cache."""
        self._reads += 1
        if self._reads % _READS == 0 and hasattr(mmap, "MADV_DONTNEED"):
            for each in self._maps:
                each.madvise(mmap.MADV_DONTNEED)


def load(folder: Path) -> Samples:
    """Map the samples in a folder.

    Raises:
        OSError: if they are not there.
        ValueError: if they are not whole.
    """
    try:
        about = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
        return Samples(folder, Facts(**about | {"shards": tuple(about["shards"])}))
    except (TypeError, KeyError) as error:
        raise ValueError(f"{folder / _ABOUT} is not whole") from error


def joined(ids: NDArray[np.int32], learned: NDArray[np.bool_]) -> NDArray[np.int32]:
    """The tokens of a sample as they are kept: both in one, int32 ``[tokens]``."""
    return np.where(learned, ids, ~ids)


class Writer:
    """Writes samples into an empty folder, one part after the other; they are whole after :meth:`end`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: BinaryIO | None = None
        self._shards: list[int] = []
        self._lengths: list[NDArray[np.int32]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file:
            self._file.close()

    def add(self, tokens: NDArray[np.int32], lengths: NDArray[np.int32]) -> None:
        """Append samples.

        Args:
            tokens: the tokens of all of them, each as :func:`joined`, int32 ``[tokens]``.
            lengths: the tokens of each, int32 ``[samples]``.
        """
        if not len(lengths):
            return
        if self._file is None or self._file.tell() >= _SHARD:
            if self._file:
                self._file.close()
            self._file = _shard(self._folder, len(self._shards)).open("wb")
            self._shards.append(0)
        self._file.write(tokens.astype(_DTYPE, copy=False).data)
        self._shards[-1] += len(lengths)
        self._lengths.append(lengths)

    def end(self, facts: Facts) -> None:
        """Write what is known of the samples, of which there is one at least; ``shards`` is filled in."""
        if self._file:
            self._file.close()
        np.concatenate(self._lengths).astype(_DTYPE, copy=False).tofile(self._folder / _LENGTHS)
        about = asdict(facts) | {"shards": self._shards}
        (self._folder / _ABOUT).write_text(json.dumps(about) + "\n", encoding="utf-8")


def _shard(folder: Path, number: int) -> Path:
    return folder / f"{number:05}.tokens"
