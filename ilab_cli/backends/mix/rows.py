"""Rows of a data set as they lie on disk: a JSONL file cut into chunks that are read and checked each on its own.

A row is a line that is not blank; a chunk owns the lines that begin in it, so that the rows of all chunks end to end
are those of the file however it is cut. What a line has to hold is said in
:mod:`ilab_cli.backends.train.conversations`, for mixing and training alike.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ilab_cli.backends.jsonl import not_json
from ilab_cli.backends.train.conversations import problems_of
from ilab_profiles import Finding, Position

__all__ = ["MOST_FINDINGS", "Checked", "Chunk", "check", "chunks", "is_plain", "rows_of", "with_system_prompt"]

MOST_FINDINGS = 20
"""Findings that are told of one file."""

_HINT = 'a row is a conversation as `ilab model train` reads it: {"messages": [{"role": …, "content": …}, …]}'
_LONGEST_LINE = 64 * 2**20
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")  # half of a pair, and perhaps its other half follows
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_decode = json.JSONDecoder().raw_decode  # json.loads without its guesses about encodings: half the time


@dataclass(frozen=True, slots=True)
class Chunk:
    """The lines of ``file`` that begin in its bytes ``start:end``."""

    file: Path
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Checked:
    """What a chunk holds.

    Args:
        lines: its lines, blank ones included.
        rows: its rows.
        bad: those of them that cannot be learned from.
        findings: what is wrong with the first of these; their lines are counted from 1 within the chunk.
    """

    lines: int
    rows: int
    bad: int
    findings: tuple[Finding, ...]


def chunks(file: Path, size: int, chunk_size: int) -> Iterator[Chunk]:
    """Cut a file of ``size`` bytes into chunks of ``chunk_size`` bytes, the last one shorter."""
    for start in range(0, size, chunk_size):
        yield Chunk(file, start, min(start + chunk_size, size))


def rows_of(chunk: Chunk) -> list[bytes]:
    """The rows of a chunk, without the white space around them."""
    return [row for line in _lines(chunk) if (row := line.strip())]


def check(chunk: Chunk) -> Checked:
    """Read a chunk and say what is wrong with its rows. Writes nothing."""
    lines = _lines(chunk)
    rows = bad = 0
    findings: list[Finding] = []
    for number, line in enumerate(lines, start=1):
        if row := line.strip():
            rows += 1
            if not is_plain(row) and (problems := _findings(row, Position(str(chunk.file), number))):
                bad += 1
                findings += problems[: MOST_FINDINGS - len(findings)]
    return Checked(len(lines), rows, bad, tuple(findings))


def is_plain(row: bytes) -> bool:
    """Whether a row is sound at first sight, as most are. Says it of no row in which a closer look finds anything."""
    try:
        text = row.decode()
        value, end = _decode(text)
        messages = value["messages"]
        roles = [message["role"] for message in messages if type(message["content"]) is str]
    except (ValueError, RecursionError, TypeError, LookupError):
        return False
    whole = end == len(text) and len(roles) == len(messages) and not _SURROGATE.search(row)
    return whole and "assistant" in roles and set(map(type, roles)) == {str}


def with_system_prompt(row: bytes, prompt: str) -> bytes:
    """The row with this system message at its beginning, and no other."""
    value = json.loads(row)
    others = [message for message in value["messages"] if message["role"] != "system"]
    value["messages"] = [{"role": "system", "content": prompt}, *others]
    try:
        return json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which only an escape can write
        return json.dumps(value).encode()


def _lines(chunk: Chunk) -> list[bytes]:
    """The lines of a chunk; one that is too long to be held in memory ends where the limit is."""
    with chunk.file.open("rb") as stream:
        stream.seek(max(chunk.start - 1, 0))
        if chunk.start:
            stream.readline(_LONGEST_LINE)  # the rest of the line before, or only its end
        first = stream.tell()
        if first >= chunk.end:
            return []
        text = stream.read(chunk.end - first)
        if not text.endswith(b"\n"):
            text += stream.readline(_LONGEST_LINE)
    if first == 0:
        text = text.removeprefix(_BYTE_ORDER_MARK)
    if b"\r" in text:  # white space to JSON, the end of a line to others
        text = text.replace(b"\r", b" ")
    lines = text.split(b"\n")
    return lines if lines[-1] else lines[:-1]


def _findings(row: bytes, position: Position) -> list[Finding]:
    try:
        value = json.loads(row)
    except (ValueError, RecursionError) as error:
        message, position = not_json(error, position)
        return [Finding("data-line", message, position=position, hint=_HINT)]
    return [Finding("data-line", problem, position=position, hint=_HINT) for problem in problems_of(value)]
