"""What stands in the small files of the system, below ``/proc`` and ``/sys``: a text or a number, or nothing."""

from __future__ import annotations

from pathlib import Path

__all__ = ["number", "text"]


def text(file: Path) -> str:
    """The text in a file, without what is blank around it; empty if it cannot be read."""
    try:
        return file.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def number(file: Path) -> int | None:
    """The number in a file; ``None`` if it holds none, as ``max`` is."""
    held = text(file)
    return int(held) if held.isdecimal() else None
