"""Colour and weight for people at a terminal; nothing here changes a word, or loads anything.

``NO_COLOR`` switches it off, ``FORCE_COLOR`` on, ``TERM=dumb`` is a terminal without.
"""

from __future__ import annotations

import os
import re
from typing import TextIO

__all__ = ["coloured", "finding", "heading", "help_page", "paint"]

_CODES = {"bold": 1, "dim": 2, "red": 31, "green": 32, "yellow": 33, "cyan": 36}
_HEAD = re.compile(r"^(.*?)(error|warning)(\[[\w-]+\])", re.DOTALL)
_REMEDY = re.compile(r"^    (fix|choose|hint): ", re.MULTILINE)
_CARET = re.compile(r"^ +\^$", re.MULTILINE)
_HEADING = re.compile(r"^(?=\S)(.*:)$", re.MULTILINE)
_NAME = re.compile(r"^  (?! )(-[^\n]*?|[a-z][\w-]*)(?=  |$)", re.MULTILINE)
_VALUE = re.compile(r"\[(?!OPTIONS|ARGS)[^\[\]\n]*\](?=$)", re.MULTILINE)


def coloured(stream: TextIO | None) -> bool:
    """Whether colour is wanted on a stream."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"


def paint(text: str, *styles: str) -> str:
    """Text with styles, whatever stream it goes to."""
    return f"\x1b[{';'.join(str(_CODES[style]) for style in styles)}m{text}\x1b[0m"


def heading(text: str, stream: TextIO | None) -> str:
    """The first line of a table for a stream."""
    return paint(text, "bold") if coloured(stream) else text


def finding(text: str, stream: TextIO | None) -> str:
    """A finding, or several, as :class:`~ilab_profiles.Finding` writes them, for a stream."""
    return "\n".join(map(_finding, re.split(r"\n(?=\S)", text))) if coloured(stream) else text


def _finding(text: str) -> str:
    def head(found: re.Match[str]) -> str:
        tone = "red" if found[2] == "error" else "yellow"
        place = paint(found[1], "bold") if found[1].strip() else found[1]
        return f"{place}{paint(found[2], 'bold', tone)}{paint(found[3], tone)}"

    text = _HEAD.sub(head, text, count=1)
    text = _CARET.sub(lambda found: paint(found[0], "bold", "red"), text)
    return _REMEDY.sub(lambda found: f"    {paint(found[1], 'bold', 'green')}: ", text)


def help_page(text: str, stream: TextIO | None) -> str:
    """A page of help for a stream: headings, the names of flags and commands, values in force."""
    if not coloured(stream):
        return text
    text = _VALUE.sub(lambda found: paint(found[0], "dim"), text)
    text = _HEADING.sub(lambda found: paint(found[1], "bold"), text)
    return _NAME.sub(lambda found: f"  {paint(found[1], 'cyan')}", text)
