"""One conversation as a chat template writes it, with and without marks in its texts.

A template is a program, so what it does with a text is found by experiment: a mark tells something where it makes no
other difference.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from ilab_cli.backends.train.data.chat_template import ChatTemplate
from ilab_cli.backends.train.data.conversations import Message
from ilab_cli.backends.train.data.marks import Path, Place, Probe, free_range, marks_in, own_texts
from ilab_cli.backends.train.data.taken import taken

__all__ = ["Look", "Reading", "common"]


@dataclass(frozen=True)
class Look:
    """What a rendering with marks showed: the marked messages by number, and where the marks came out."""

    messages: dict[int, Message]
    seen: list[tuple[int, Place]]
    places: list[Place]


class Reading:
    """One conversation as a template writes it.

    Args:
        template: the template.
        messages: the conversation.

    Raises:
        Exception: of whatever kind, if the template refuses the conversation.
    """

    def __init__(self, template: ChatTemplate, messages: Sequence[Message]) -> None:
        self.template = template
        self.messages = taken(template, messages)
        self.text, self.generated = template.render(self.messages)
        self.assistants = [number for number, message in enumerate(messages) if message["role"] == "assistant"]
        self._alphabet = free_range(self.text + json.dumps(self.messages, ensure_ascii=False))

    def probe(self) -> Probe:
        """Marks for one rendering."""
        return Probe(self._alphabet, self.template.literals)

    def split(self, text: str) -> list[str]:
        """A rendered text, split at its marks."""
        return marks_in(self._alphabet).split(text)

    @cached_property
    def first(self) -> Look:
        """All messages marked, or else only what the assistant says: what a template does with others may be odd."""
        nothing = Look({}, [], [])
        return self._look(range(len(self.messages))) or self._look(self.assistants) or nothing

    def looks(self, number: int) -> Iterator[Look]:
        """What was seen of a message: among others, alone, and with one mark alone, at the end of its text."""
        yield self.first
        if alone := self._look([number]):
            yield alone
        for path, text in own_texts(self.messages[number]).items():
            if path[0] == "content" and text and (look := self._see_one(number, path, len(text))):
                yield look

    def _look(self, numbers: Iterable[int]) -> Look | None:
        """Render with marks in some messages; ``None`` if more than the marks changes by that."""
        probe = self.probe()
        return self._see(probe, {number: probe.mark(number, self.messages[number]) for number in numbers})

    def _see_one(self, number: int, path: Path, index: int) -> Look | None:
        probe = self.probe()
        return self._see(probe, {number: probe.mark_at(number, self.messages[number], path, [index])})

    def seen_at(self, number: int, path: Path, index: int) -> int | None:
        """Where a mark at an index of a text comes out, if it makes no other difference."""
        look = self._see_one(number, path, index)
        return look.seen[0][0] if look and look.seen else None

    def _see(self, probe: Probe, changed: dict[int, Message]) -> Look | None:
        text, seen = probe.read(self.changed(changed))
        return Look(changed, seen, probe.places) if text == self.text else None

    def changed(self, messages: dict[int, Message]) -> str:
        """The text with other messages in place of some, by number; empty if the template refuses it."""
        return self.template.try_render([messages.get(number, own) for number, own in enumerate(self.messages)])


def common(one: str, other: str) -> int:
    """Number of characters that two texts begin with in common."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[:middle] == other[:middle] else (low, middle - 1)
    return low
