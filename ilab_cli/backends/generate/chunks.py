"""A text cut into chunks of a limited number of words, where it hurts least: between paragraphs, sentences, words.

A chunk is a piece of the text as it stands there; only the white space around it is taken away. A heading stays with
what follows it, and a table, a list or a block of code is cut only if it alone is too long, and then between lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

__all__ = ["split"]

_HEADING = re.compile(r" {0,3}#{1,6}(\s|$)")
_UNDERLINE = re.compile(r" {0,3}(=+|-+)\s*")  # under a line, it makes that a heading
_FENCE = re.compile(r"\s*(`{3,}(?=[^`\n]*$)|~{3,})", re.MULTILINE)
_OF_LINES = re.compile(r"(\s*([-*+•]|\d+[.)])\s)|\s*\|| {4}|\t")  # begins a list, a table or indented code

_LINES = re.compile(r"\n")
# from a full stop, and what may close a sentence, to what may open the next; Chinese and Japanese have no spaces
_SENTENCES = re.compile(
    r"""(?<=[.!?…\u0964\u061f\u06d4])["'\u201d\u2019)\]*_]*\s+(?=["'\u201c\u2018(\[*_¿¡]*[^\W_a-z])"""
    r"|(?<=[\u3002\uff01\uff1f])[\u201d\u2019\u300d\u300f\uff09]*\s*"
)
_DENSE = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # their characters
_WORD = re.compile(rf"[{_DENSE}]|[^\s{_DENSE}]{{1,50}}")


@dataclass(frozen=True, slots=True)
class _Block:
    """A paragraph, heading, list, table or block of code: lines of the text that belong together."""

    start: int
    end: int
    heading: bool = False


@dataclass(frozen=True, slots=True)
class _Piece:
    """A part of the text that stays in one chunk."""

    start: int
    end: int
    words: int


def split(text: str, words: int) -> list[str]:
    """Cut a text into chunks of about the same size.

    Args:
        text: plain text or Markdown.
        words: most words of a chunk, at least 1. A word is what stands between white space; but each Chinese or
            Japanese character counts as one, and so do every 50 characters of what is longer, as embedded images are.

    Returns:
        The chunks in order. Together they hold each word of the text once; none is empty.
    """
    return [text[start:end].strip() for start, end in _pack(list(_pieces(text, words)), words)]


def _pack(pieces: list[_Piece], limit: int) -> Iterator[tuple[int, int]]:
    """Put pieces together to few chunks, of which none is much smaller than the others."""
    left = sum(piece.words for piece in pieces)
    share, taken, start = _share(left, limit), 0, 0
    for piece in pieces:
        if taken and (taken >= share or taken + piece.words > limit):
            yield start, piece.start
            start, left, taken = piece.start, left - taken, 0
            share = _share(left, limit)
        taken += piece.words
    if pieces:
        yield start, pieces[-1].end


def _share(words: int, limit: int) -> int:
    """The words of each part if so many words are shared evenly among as few parts as possible."""
    parts = max(1, -(-words // limit))
    return -(-words // parts)


def _pieces(text: str, limit: int) -> Iterator[_Piece]:
    """The text in pieces that fit a chunk, headings together with what follows them."""
    above: _Piece | None = None  # headings that wait for their text
    for block in _blocks(text):
        room = limit - (above.words if above else 0)
        cut = list(_cut(text, block, room))
        if above:
            cut[0] = replace(cut[0], start=above.start, words=above.words + cut[0].words)
            above = None
        if block.heading and cut[-1].words < limit:
            above = cut.pop()
        yield from cut
    if above:
        yield above


def _blocks(text: str) -> Iterator[_Block]:
    """The blocks of a text; blank lines stand between them or, in fenced code, inside."""
    start: int | None = None
    fence, lines, place = "", 0, 0
    for line in text.splitlines(keepends=True):
        begin, place = place, place + len(line)
        if fence:
            if line.strip().startswith(fence) and not line.strip().strip(fence[0]):
                yield _Block(start or 0, place)
                start, fence = None, ""
            continue
        opens, heading = _FENCE.match(line), _HEADING.match(line)
        if start is not None and lines == 1 and _UNDERLINE.fullmatch(line):
            yield _Block(start, place, heading=True)
            start = None
            continue
        if start is not None and (opens or heading or not line.strip()):
            yield _Block(start, begin)
            start = None
        if heading:
            yield _Block(begin, place, heading=True)
        elif line.strip():
            start, lines = (begin, 1) if start is None else (start, lines + 1)
            fence = opens[1] if opens else ""
    if start is not None:
        yield _Block(start, place)


def _cut(text: str, block: _Block, limit: int) -> Iterator[_Piece]:
    """A block whole if it fits, else its lines or sentences, else their words."""
    by_lines = _FENCE.match(text, block.start) or _OF_LINES.match(text, block.start)
    yield from _cut_at(text, block.start, block.end, limit, (_LINES, _SENTENCES) if by_lines else (_SENTENCES,))


def _cut_at(text: str, start: int, end: int, limit: int, borders: tuple[re.Pattern[str], ...]) -> Iterator[_Piece]:
    words = len(_WORD.findall(text, start, end))
    if words <= limit:
        if words:
            yield _Piece(start, end, words)
    elif borders:
        edges = [start, *(border.end() for border in borders[0].finditer(text, start, end)), end]
        for begin, stop in pairwise(edges):
            yield from _cut_at(text, begin, stop, limit, borders[1:])
    else:
        found = [word.span() for word in _WORD.finditer(text, start, end)]
        size = _share(words, limit)
        for first in range(0, words, size):
            part = found[first : first + size]
            yield _Piece(part[0][0], part[-1][1], len(part))
