"""Tokenising data of any size: chunk by chunk, by several processes where they are large, in the order of the lines.

What a chunk comes to does not depend on the others, and nothing is kept in memory of it but counts, lengths and the
first findings; so neither samples nor findings depend on the number of processes. A chunk is rendered in Python, one
core's work, so processes bring more than the threads of a tokenizer: on two cores 1.7 times the speed of one process
with threads.
"""

from __future__ import annotations

import os
import sys
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ilab_cli.backends.jsonl import Chunk
from ilab_cli.backends.processes import processes
from ilab_cli.backends.train.data.conversations import Findings, chunks_of, empty, files_of, read_chunk
from ilab_cli.backends.train.data.shards import Facts, Writer, joined
from ilab_cli.backends.train.data.tokens import encode, load_tokenizer
from ilab_cli.output import lively
from ilab_profiles import Finding, InputError, Train
from ilab_profiles.hardware.cores import cores

__all__ = ["is_large", "tokenise"]

_LARGE = 16 * 2**20
"""Bytes of data from which on more processes are worth their start, which takes some seconds."""
_MOST_PROCESSES = 16
"""Each takes some 300 MB."""


@dataclass(slots=True)
class Part:
    """What a chunk of the data comes to.

    Args:
        tokens: of all samples, int32 ``[tokens]``, see :func:`joined`.
        lengths: of each sample, int32 ``[samples]``.
        lines: lines of the chunk, empty ones included.
        wrong: lines that hold no conversation.
        refused: conversations that cannot be tokenised.
        left_out: conversations that are too long, and not truncated to something to learn from.
        needed: the least ``max_seq_len`` that would have kept one of these.
        truncated: samples that are the beginning of a longer conversation.
    """

    tokens: NDArray[np.int32]
    lengths: NDArray[np.int32]
    lines: int
    wrong: Findings
    refused: Findings = field(default_factory=Findings)
    left_out: int = 0
    needed: int = sys.maxsize
    truncated: int = 0


def tokenise(tokenizer: Any, train: Train, folder: Path, fingerprint: str) -> None:
    """Write the samples of all data into an empty folder.

    Raises:
        InputError: with all that is wrong with the data.
        OSError: if something cannot be read or written.
    """
    from tqdm import tqdm

    files, large = files_of(train.data_path), is_large(train)
    cut = [chunk for file in files for chunk in chunks_of(file)]
    workers = min(cores(), _MOST_PROCESSES) if large else 1
    work = partial(_in_a_process, train) if workers > 1 else partial(_tokenise, tokenizer, train)
    sums = _Sums({file: Findings() for file in files}, dict.fromkeys(files, 0))
    hidden = not large or not lively(sys.stderr)
    try:
        with (
            Writer(folder) as writer,
            processes(workers) as apply,
            tqdm(total=_size(train), unit="B", unit_scale=True, desc="tokenise", leave=False, disable=hidden) as bar,
        ):
            for chunk, part in zip(cut, apply(work, cut), strict=True):
                sums.add(chunk.file, part)
                writer.add(part.tokens, part.lengths)
                bar.update(chunk.end - chunk.start)
            if findings := sums.findings(train):
                raise InputError(findings)
            writer.end(Facts(fingerprint, sums.left_out, sums.truncated, sums.highest))
    except BrokenProcessPool as error:
        message = "a process that tokenises ended without an error message, maybe killed for lack of memory"
        raise InputError(
            Finding("not-tokenised", message, "train.data_path", hint="make room, and try again")
        ) from error


def is_large(train: Train) -> bool:
    """Whether the data are tokenised by several processes."""
    return _size(train) >= _LARGE


def _size(train: Train) -> int:
    return sum(file.stat().st_size for file in files_of(train.data_path))


@lru_cache(maxsize=1)
def _own_tokenizer(train: Train) -> Any:
    return load_tokenizer(train)


def _in_a_process(train: Train, chunk: Chunk) -> Part:
    """Tokenise a chunk in a process that does nothing else; the other cores have processes of their own."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    return _tokenise(_own_tokenizer(train), train, chunk)


def _tokenise(tokenizer: Any, train: Train, chunk: Chunk) -> Part:
    """Read and tokenise a chunk."""
    read = read_chunk(chunk)
    none: NDArray[np.int32] = np.zeros(0, np.int32)
    part = Part(none, none, read.lines, read.findings)
    samples: list[NDArray[np.int32]] = []
    limit, truncate = train.max_seq_len, train.too_long == "truncate"
    for item in encode(tokenizer, read.conversations):
        if isinstance(item, Finding):
            part.refused.add([item])
            continue
        ids, learned = item
        if len(ids) <= limit:
            samples.append(joined(ids, learned))
        elif truncate and learned[:limit].any():
            samples.append(joined(ids[:limit], learned[:limit]))
            part.truncated += 1
        else:
            part.left_out += 1
            part.needed = min(part.needed, int(learned.argmax()) + 1 if truncate else len(ids))
    part.tokens = np.concatenate([none, *samples])
    part.lengths = np.array([len(tokens) for tokens in samples], np.int32)
    return part


@dataclass(slots=True)
class _Sums:
    """What the parts come to together.

    Args:
        wrong: what is wrong with the lines of each file.
        lines: lines of each file that are done.
    """

    wrong: dict[Path, Findings]
    lines: dict[Path, int]
    refused: Findings = field(default_factory=Findings)
    samples: int = 0
    left_out: int = 0
    needed: int = sys.maxsize
    truncated: int = 0
    highest: int = 0

    def add(self, file: Path, part: Part) -> None:
        """Take up the next part of a file."""
        before = self.lines[file]
        self.wrong[file].add(part.wrong.first, part.wrong.total, before)
        self.refused.add(part.refused.first, part.refused.total, before)
        self.lines[file] += part.lines
        self.samples += len(part.lengths)
        self.left_out += part.left_out
        self.needed = min(self.needed, part.needed)
        self.truncated += part.truncated
        if len(part.tokens):
            self.highest = max(self.highest, int(np.maximum(part.tokens, ~part.tokens).max()))

    def findings(self, train: Train) -> list[Finding]:
        """All that is wrong with the data."""
        findings = [finding for file, wrong in self.wrong.items() for finding in wrong.told(file)]
        findings += self.refused.told(Path(train.data_path))
        if self.samples or findings:
            return findings
        if not self.left_out:
            return [empty([*self.wrong])]
        if train.too_long == "truncate":
            message = f"nothing is learned in the first {train.max_seq_len} tokens of all {self.left_out} conversations"
        else:
            message = f"all {self.left_out} conversations are longer than {train.max_seq_len} tokens"
            message += f"; the shortest has {self.needed}"
        return [Finding("all-too-long", message, "train.max_seq_len", hint=f"set it to {self.needed} or more")]
