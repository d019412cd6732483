"""Marks in the texts of messages: put in before a chat template writes them, found again in what it made of them.

A mark is one character of Unicode's private use that stands in no text of the conversation. It never stands beside
white space at the edge of a text, nor inside of words that the template itself holds (``</think>``), so that a
template trims, splits and branches as it does without. What the marks tell is not this file's business.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any, NamedTuple

from ilab_cli.backends.train.data.conversations import Message

__all__ = ["Path", "Place", "Probe", "free_range", "marks_in", "own_texts", "text_at", "with_text"]

_PRIVATE = range(0xF0000, 0xFFFFE)
_NO_TEXT = {"id", "index", "role", "tool_call_id", "type"}
"""Keys whose value names something: a template compares it, and learns nothing new from it."""
_MOST = 1000
"""Marks at each end of a text that would get more."""


Path = tuple[str | int, ...]
"""Keys and indices that lead from a message to a text in it."""


class Place(NamedTuple):
    """Where a mark stands.

    Args:
        number: of the message, from 0.
        path: of the text in it.
        offset: of the text's character that follows the mark.
    """

    number: int
    path: Path
    offset: int


def free_range(text: str) -> range:
    """The longest range of private characters of which a text holds none."""
    used = sorted({ord(char) for char in re.findall(f"[{chr(_PRIVATE[0])}-{chr(_PRIVATE[-1])}]", text)})
    bounds = [_PRIVATE.start - 1, *used, _PRIVATE.stop]
    return max((range(a + 1, b) for a, b in pairwise(bounds)), key=len)


def marks_in(alphabet: range) -> re.Pattern[str]:
    """Matches the characters that may be marks."""
    return re.compile(f"[{chr(alphabet[0])}-{chr(alphabet[-1])}]")


def own_texts(message: Message) -> dict[Path, str]:
    """The texts that are a message's own, by the keys and indices that lead to them; role and name are not."""
    return dict(_leaves({key: value for key, value in message.items() if key != "name"}, ()))


def text_at(message: Message, path: Path) -> str:
    """The text of a message that a path leads to."""
    value: Any = message
    for key in path:
        value = value[key]
    return str(value)


def with_text(message: Message, path: Path, text: str) -> Message:
    """A copy of a message in which another text stands where a path leads to."""
    copy: Any = message.copy()
    inside = copy
    for key in path[:-1]:
        inside[key] = inside[key].copy()
        inside = inside[key]
    inside[path[-1]] = text
    marked: Message = copy
    return marked


def _leaves(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            if key not in _NO_TEXT:
                yield from _leaves(item, (*path, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _leaves(item, (*path, number))


class Probe:
    """The marks of one rendering.

    Args:
        alphabet: the characters that may be marks.
        literals: matches the words that the template holds.
    """

    def __init__(self, alphabet: range, literals: re.Pattern[str]) -> None:
        self._alphabet = alphabet
        self._literals = literals
        self.places: list[Place] = []

    def mark(self, number: int, message: Message) -> Message:
        """A message with marks around each piece of its texts; around the whole content if that is no such piece."""
        texts = own_texts(message)
        for path, text in texts.items():
            edges = list(self._edges(text))
            if not edges and path[0] == "content" and (text or not any(texts.values())):
                edges = [0, len(text)] if text else [0]
            message = self.mark_at(number, message, path, edges[:_MOST] + edges[_MOST:][-_MOST:])
        return message

    def mark_at(self, number: int, message: Message, path: Path, indices: Iterable[int]) -> Message:
        """A message with marks at these indices of one of its texts, as far as there are characters left for marks."""
        text, parts, before = text_at(message, path), [], 0
        for index in indices:
            if len(self.places) == len(self._alphabet):
                break
            parts += [text[before:index], chr(self._alphabet[len(self.places)])]
            self.places.append(Place(number, path, index))
            before = index
        return with_text(message, path, "".join([*parts, text[before:]]))

    def plain(self, number: int, message: Message) -> Message:
        """A message of the same role that says nothing but one mark."""
        is_list = isinstance(message.get("content"), list)
        content = [{"type": "text", "text": ""}] if is_list else ""
        bare = {key: value for key, value in message.items() if key in ("role", "name")} | {"content": content}
        return self.mark_at(number, bare, ("content", 0, "text") if is_list else ("content",), [0])

    def read(self, text: str) -> tuple[str, list[tuple[int, Place]]]:
        """A rendered text without its marks, and where in that text each of them stood, in order."""
        pattern = marks_in(self._alphabet)
        found = [(mark.start() - before, ord(mark[0])) for before, mark in enumerate(pattern.finditer(text))]
        return pattern.sub("", text), [(at, self.places[code - self._alphabet[0]]) for at, code in found]

    def _edges(self, text: str) -> Iterator[int]:
        """Where the pieces between the template's words begin and end, white space at their edges left out."""
        before = 0
        for begin, end in [*(found.span() for found in self._literals.finditer(text)), (len(text), len(text))]:
            piece = text[before:begin]
            if piece.strip():
                yield begin - len(piece.lstrip())
                yield before + len(piece.rstrip())
            before = end
