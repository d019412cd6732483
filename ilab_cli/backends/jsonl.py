"""JSON Lines: one value on a line. How lines are written and read, why one cannot be read, and the first findings.

A file is read in chunks, each on its own. A chunk owns the lines that begin in it, so that the lines of all chunks end
to end are those of the file, however it is cut.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ilab_profiles import Finding, Position

__all__ = ["MOST_FINDINGS", "Chunk", "as_lines", "chunks", "first", "lines_of", "not_json"]

MOST_FINDINGS = 20
"""Findings that are shown of one file or folder."""
_LONGEST_LINE = 64 * 2**20
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Chunk:
    """The lines of ``file`` that begin in its bytes ``start:end``."""

    file: Path
    start: int
    end: int


def chunks(file: Path, size: int, chunk_size: int) -> Iterator[Chunk]:
    """Cut a file of ``size`` bytes into chunks of ``chunk_size`` bytes, the last one shorter."""
    for start in range(0, size, chunk_size):
        yield Chunk(file, start, min(start + chunk_size, size))


def lines_of(chunk: Chunk) -> list[bytes]:
    """The lines of a chunk, blank ones too; one that is too long to be held in memory ends where the limit is."""
    with chunk.file.open("rb") as stream:
        stream.seek(max(chunk.start - 1, 0))
        if chunk.start:
            stream.readline(chunk.end - chunk.start + 1)  # the rest of the line before, or only its end
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


def as_lines(rows: Iterable[object]) -> str:
    """Values as text, one on a line."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def not_json(error: Exception, position: Position) -> tuple[str, Position]:
    """Why a line cannot be read, and where: what ``json.loads`` raised in words."""
    match error:
        case json.JSONDecodeError():
            return f"not valid JSON: {error.msg}", replace(position, column=error.colno)
        case UnicodeDecodeError():
            return "not UTF-8 text", position
    return "not valid JSON: a number is too long, or it is nested too deeply", position


def first(findings: Sequence[Finding], path: Path, total: int | None = None) -> list[Finding]:
    """Of many findings of one kind in the data at a path, the first ones, and how many there are more.

    Args:
        findings: the first of them, or all.
        path: where they all are.
        total: how many there are, if ``findings`` are not all.
    """
    more = max(len(findings), total or 0) - MOST_FINDINGS
    if more <= 0:
        return [*findings]
    message = f"and {more} more findings like these"
    return [*findings[:MOST_FINDINGS], replace(findings[0], message=message, position=Position(str(path)), hint="")]
