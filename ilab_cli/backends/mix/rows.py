"""Rows of a data set as they lie on disk: read and checked chunk by chunk, each on its own.

A row is a line that is not blank. What a line has to hold is said in :mod:`ilab_cli.backends.train.data.formats`, for
mixing and training alike.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from ilab_cli.backends.jsonl import MOST_FINDINGS, Chunk, lines_of, not_json
from ilab_cli.backends.train.data.formats import parse, problems_of
from ilab_profiles import Finding, Position

__all__ = ["Checked", "check", "is_plain", "rows_of", "with_system_prompt"]

_HINT = 'a row is a conversation as `ilab model train` reads it: {"messages": [{"role": …, "content": …}, …]}'
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")  # half of a pair, and perhaps its other half follows
_decode = json.JSONDecoder().raw_decode  # json.loads without its guesses about encodings: half the time


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


def rows_of(chunk: Chunk) -> list[bytes]:
    """The rows of a chunk, without the white space around them."""
    return [row for line in lines_of(chunk) if (row := line.strip())]


def check(chunk: Chunk) -> Checked:
    """Read a chunk and say what is wrong with its rows. Writes nothing."""
    lines = lines_of(chunk)
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
        roles = [message["role"] for message in messages if type(message["content"]) is str and len(message) == 2]
    except (ValueError, RecursionError, TypeError, LookupError):
        return False
    whole = end == len(text) and len(roles) == len(messages) and not _SURROGATE.search(row)
    return whole and "tools" not in value and "assistant" in roles and set(map(type, roles)) == {str}


def with_system_prompt(row: bytes, prompt: str) -> bytes:
    """The row with this system message at its beginning, and no other."""
    value = json.loads(row)
    messages = value.get("messages") or parse(value).messages
    others = [message for message in messages if message["role"] != "system"]
    value["messages"] = [{"role": "system", "content": prompt}, *others]
    try:
        return json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which only an escape can write
        return json.dumps(value).encode()


def _findings(row: bytes, position: Position) -> list[Finding]:
    try:
        value = json.loads(row)
    except (ValueError, RecursionError) as error:
        message, position = not_json(error, position)
        return [Finding("data-line", message, position=position, hint=_HINT)]
    return [Finding("data-line", problem, position=position, hint=_HINT) for problem in problems_of(value)]
