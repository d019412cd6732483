"""JSON Lines: one value on a line. How lines are written, why one cannot be read, and the first of many findings."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from ilab_profiles import Finding, Position

__all__ = ["MOST_FINDINGS", "as_lines", "first", "not_json"]

MOST_FINDINGS = 20
"""Findings that are shown of one file or folder."""


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


def first(findings: Sequence[Finding], path: Path) -> list[Finding]:
    """Of many findings of one kind in the data at a path, the first ones, and how many there are more."""
    if len(findings) <= MOST_FINDINGS:
        return [*findings]
    message = f"and {len(findings) - MOST_FINDINGS} more findings like these"
    return [*findings[:MOST_FINDINGS], replace(findings[0], message=message, position=Position(str(path)), hint="")]
