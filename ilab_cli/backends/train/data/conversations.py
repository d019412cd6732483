"""Training data as they lie on disk: JSONL files of conversations, read and checked chunk by chunk.

What a line may look like is said in :mod:`ilab_cli.backends.train.data.formats`. Nothing here knows of tokenizers or
templates.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ilab_cli.backends.jsonl import MOST_FINDINGS, Chunk, chunks, first, lines_of, not_json
from ilab_cli.backends.train.data.formats import MESSAGES, Message, parse
from ilab_profiles import Finding, InputError, Position

__all__ = [
    "Conversation",
    "Findings",
    "Message",
    "Read",
    "check",
    "chunks_of",
    "empty",
    "files_of",
    "read",
    "read_chunk",
]

_NO_LINES = {
    re.compile(rb"\x1f\x8b"): ("it is a gzip file", "gunzip {}"),
    re.compile(rb"(\xef\xbb\xbf)?\s*\[\s*(\{|$)"): ("it is one JSON array", "jq -c '.[]' {} > NEW.jsonl"),
}
"""What files begin with that do not hold a conversation on each line, what they are, and what makes lines of them."""
_BEGINNING = 100
_CHUNK = 2**20
"""Bytes of text that are read at once; no result depends on it."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """One conversation, the line that it stands on, and the tools that it offers, as JSON objects."""

    messages: list[Message]
    position: Position
    tools: list[dict[str, Any]] | None = None


@dataclass(slots=True)
class Findings:
    """What is wrong with many lines: the first findings, and how many there are."""

    first: list[Finding] = field(default_factory=list)
    total: int = 0

    def add(self, findings: Iterable[Finding], total: int | None = None, after: int = 0) -> None:
        """Take up more of them.

        Args:
            findings: the next ones, or the first of these.
            total: how many these are.
            after: lines before those from which their positions are counted.
        """
        found = list(findings)
        self.total += len(found) if total is None else total
        for finding in found[: MOST_FINDINGS - len(self.first)]:
            if after and finding.position and finding.position.line:
                place = replace(finding.position, line=finding.position.line + after)
                finding = replace(finding, position=place)
            self.first.append(finding)

    def told(self, path: Path) -> list[Finding]:
        """What is shown of them, for the data at a path."""
        return first(self.first, path, self.total)


@dataclass(frozen=True, slots=True)
class Read:
    """What a chunk of a file holds.

    Args:
        lines: its lines, empty ones included.
        conversations: the sound conversations.
        findings: what is wrong with the other lines.
    """

    lines: int
    conversations: list[Conversation]
    findings: Findings


def files_of(data_path: str) -> list[Path]:
    """The JSONL files to train on: the file itself, or those of a folder, sorted by name.

    In a folder, files whose name begins with ``train`` are taken alone if there are any, so that test data beside
    them stay out of training.

    Raises:
        InputError: if it is not there, or a folder without a JSONL file.
    """
    path = Path(data_path)
    if os.path.isfile(path):  # unlike Path.is_file, it takes any name for an answer
        return [path]
    if not os.path.isdir(path):
        raise InputError(
            Finding(
                "data-not-found",
                f"no such file or folder: {path}",
                "train.data_path",
                hint="name a JSONL file or a folder of such files",
            )
        )
    files = sorted(file for file in path.glob("[!.]*.jsonl") if file.is_file())
    if not files:
        raise InputError(
            Finding(
                "data-not-found",
                f"no *.jsonl file in {path}",
                "train.data_path",
                hint="make data first (ilab data generate), or name another folder",
            )
        )
    return [file for file in files if file.name.startswith("train")] or files


def chunks_of(file: Path) -> Iterator[Chunk]:
    """The chunks of a file, in order; of one that holds no lines only the beginning."""
    with file.open("rb") as stream:
        no_lines = _no_lines(file, stream.read(_BEGINNING))
    yield from [Chunk(file, 0, _BEGINNING)] if no_lines else chunks(file, file.stat().st_size, _CHUNK)


def _no_lines(file: Path, beginning: bytes) -> list[Finding]:
    """The finding that a file is not made of lines, by its first bytes."""
    return [
        Finding("data-line", what, "train.data_path", Position(str(file)), hint=hint.format(file))
        for pattern, (what, hint) in _NO_LINES.items()
        if pattern.match(beginning)
    ]


def read_chunk(chunk: Chunk, before: int = 0) -> Read:
    """Read the conversations of a chunk that comes after so many lines; empty lines are passed over."""
    lines = lines_of(chunk)
    read = Read(len(lines), [], Findings())
    if chunk.start == 0 and (no_lines := _no_lines(chunk.file, b"\n".join(lines)[:_BEGINNING])):
        read.findings.add(no_lines)
        return read
    for number, line in enumerate(lines, start=before + 1):
        if line.strip():
            item = _read_line(line, Position(str(chunk.file), number))
            read.conversations.append(item) if isinstance(item, Conversation) else read.findings.add(item)
    return read


def _read_line(line: bytes, position: Position) -> Conversation | list[Finding]:
    """The conversation on a line, or all that is wrong with it."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        message, position = not_json(error, position)
        return [Finding("data-line", message, "train.data_path", position, hint=f"a line looks like {MESSAGES}")]
    parsed = parse(value)
    if not parsed.problems:
        return Conversation(parsed.messages, position, parsed.tools)
    hint = f"a line looks like {parsed.example}"
    return [Finding("data-line", problem, "train.data_path", position, hint=hint) for problem in parsed.problems]


def read(files: Sequence[Path]) -> tuple[list[Conversation], list[Finding]]:
    """Read all conversations into memory.

    Returns:
        the sound conversations, and what :func:`check` finds.
    """
    conversations: list[Conversation] = []
    return conversations, check(files, conversations.extend)


def check(files: Sequence[Path], take: Callable[[list[Conversation]], None] | None = None) -> list[Finding]:
    """A finding for each thing that is wrong with a line, or with all of it.

    Of a file with many wrong lines these are the first ones, and how many there are more.

    Args:
        files: the files.
        take: is given the sound conversations, of one chunk after the other.
    """
    findings: list[Finding] = []
    found = False
    for file in files:
        wrong, lines = Findings(), 0
        for chunk in chunks_of(file):
            read = read_chunk(chunk, lines)
            lines += read.lines
            wrong.add(read.findings.first, read.findings.total)
            found = found or bool(read.conversations)
            if take:
                take(read.conversations)
        findings += wrong.told(file)
    return findings if found or findings else [empty(files)]


def empty(files: Sequence[Path]) -> Finding:
    """The finding about files without any conversation."""
    place = Position(str(files[0]))
    hint = f"a line looks like {MESSAGES}"
    return Finding("data-empty", "no conversation in it", "train.data_path", place, hint=hint)
