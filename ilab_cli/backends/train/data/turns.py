"""Where the assistant's own text lies in a rendered conversation, turn by turn.

Marks in the texts show where the template writes them. What it would write before any answer is not the turn's own:
role headers, empty reasoning. How a turn ends is not this file's business.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ilab_cli.backends.train.data.chat_template import Span
from ilab_cli.backends.train.data.conversations import Message
from ilab_cli.backends.train.data.marks import Place, own_texts, text_at, with_text
from ilab_cli.backends.train.data.reading import Look, Reading, common

__all__ = ["Turn", "UnclearError", "refuse_lost_calls", "refuse_others", "turns_of"]

_OPEN = re.compile(r"<[^<>\s]*\Z")
_MARK_IT = "mark what is learned with {% generation %} in a template of your own, as train.chat_template"
_WRITE_CALLS = "name a template that writes tool_calls as train.chat_template, or leave such conversations out"


class UnclearError(ValueError):
    """Nobody can say where a turn lies, or how it ends.

    Args:
        message: why.
        rule: identifier of what was looked for.
        hint: what to do about it.
    """

    def __init__(self, message: str, rule: str = "template-turns", hint: str = _MARK_IT) -> None:
        super().__init__(message)
        self.rule = rule
        self.hint = hint


@dataclass(frozen=True)
class Turn:
    """An assistant turn: its message by number, its own text in the whole, and the message with a mark at its end."""

    number: int
    start: int
    stop: int
    message: Message


def turns_of(reading: Reading) -> Iterator[Turn]:
    """Each assistant turn.

    Raises:
        UnclearError: if one cannot be found.
    """
    return (_turn(reading, number) for number in reading.assistants)


def _turn(reading: Reading, number: int) -> Turn:
    for look in reading.looks(number):
        own = [(at, place) for at, place in look.seen if place.number == number]
        if own:
            break
    else:
        return _replaced(reading, number)
    first, last = own[0], own[-1]
    if len({place for _, place in own}) < len(own):
        raise UnclearError(f"the chat template writes messages[{number}] more than once")
    refuse_others(reading, (first[0], last[0]), number)
    start = _start(reading, number, look, *first)
    turn = _stretched(reading, Turn(number, start, last[0], look.messages[number]), look, last[1])
    return _with_empty_content(reading, turn)


def _replaced(reading: Reading, number: int) -> Turn:
    """A turn that shows no marks, found by putting one in its place.

    Raises:
        UnclearError: if what changes by that is not what the message says.
    """
    probe = reading.probe()
    message = probe.plain(number, reading.messages[number])
    text = reading.changed({number: message})
    texts = own_texts(reading.messages[number])
    start = common(reading.text, text)
    after = common(reading.text[start:][::-1], text[::-1])
    own = reading.text[start : len(reading.text) - after].strip()
    others = any(text for path, text in texts.items() if path[0] != "content")
    if not probe.read(text)[1] or (others and not own):
        raise UnclearError(f"the chat template does not write what messages[{number}] says")
    lost = not own and any(text.strip() and reading.text[:start].endswith(text.strip()) for text in texts.values())
    if lost or not any(own in text for text in texts.values() or [""]):
        raise UnclearError(f"the chat template writes messages[{number}] in a way that cannot be followed")
    return Turn(number, start, len(reading.text) - after, message)


def refuse_others(reading: Reading, span: Span, number: int = -1) -> None:
    """See that a span holds nothing that others say.

    Args:
        reading: the conversation.
        span: of characters.
        number: of the message that it should hold; any assistant's if it is -1.

    Raises:
        UnclearError: if it does.
    """
    for at, place in reading.first.seen:
        own = place.number == number or (number < 0 and place.number in reading.assistants)
        if span[0] < at < span[1] and not own:
            raise UnclearError(f"the chat template writes messages[{place.number}] into an assistant turn")


def refuse_lost_calls(reading: Reading) -> None:
    """See that the template writes each call of a tool: one that does not change with the call leaves it out.

    Raises:
        UnclearError: if it leaves one out.
    """
    for number in reading.assistants:
        for index, _ in enumerate(reading.messages[number].get("tool_calls") or ()):
            message, probe = reading.messages[number], reading.probe()
            for path, text in own_texts(message).items():
                if path[:2] == ("tool_calls", index):
                    message = probe.mark_at(number, message, path, [len(text)])
            if reading.changed({number: message}) == reading.text:
                what = f"the chat template does not write messages[{number}].tool_calls[{index}]"
                raise UnclearError(what, "template-drops-calls", _WRITE_CALLS)


def _start(reading: Reading, number: int, look: Look, at: int, place: Place) -> int:
    """Where the turn's own text begins, whose first mark was seen at ``at``."""
    message = reading.messages[number]
    text = text_at(message, place.path)
    before = [mark.offset for mark in look.places if mark[:2] == place[:2] and mark.offset < place.offset]
    index = _reach(reading, number, at, place, _candidates(reading, text, max(before, default=-1) + 1, place.offset))
    at -= place.offset - index
    others = any(text for path, text in own_texts(message).items() if path[0] != "content")
    found = reading.template.literals.search(text)
    if not others and not found and not text[:index].strip():
        return at
    if not others and _is_own(reading, number, place, index, at):
        return at - index
    departure = _departure(reading, number, at)
    only_words = found and not reading.template.literals.sub("", text).strip()
    return departure if others or only_words or text[:index].strip() else min(at, departure)


def _candidates(reading: Reading, text: str, first: int, last: int) -> list[int]:
    """The indices from ``first`` to ``last`` that are not inside of one of the template's words."""
    words = reading.template.literals.finditer(text, 0, last) if first < last else ()
    inside = {index for found in words for index in range(found.start() + 1, found.end())}
    return [index for index in range(first, last + 1) if index not in inside]


def _reach(reading: Reading, number: int, at: int, place: Place, candidates: list[int]) -> int:
    """The first of some indices in a text from which on, up to the last one, it stands in the whole as it is."""
    low, middle, high = 0, 0, len(candidates) - 1
    while low < high:
        if reading.seen_at(number, place.path, candidates[middle]) == at - place.offset + candidates[middle]:
            high = middle
        else:
            low = middle + 1
        middle = (low + high) // 2
    return candidates[high]


def _is_own(reading: Reading, number: int, place: Place, index: int, at: int) -> bool:
    """Whether the text up to an index stands before ``at``, and not the same words of the template."""
    text = text_at(reading.messages[number], place.path)
    if not text[:index].strip() or not reading.text[:at].endswith(text[:index]):
        return False
    without = with_text(reading.messages[number], place.path, text[index:])
    return reading.changed({number: without}) != reading.text


def _departure(reading: Reading, number: int, at: int) -> int:
    """Where the turn departs from what the template writes before any answer: at the prompt for it, if it can."""
    probe = reading.probe()
    plain = reading.changed({number: probe.plain(number, reading.messages[number])})
    head, *marked = reading.split(plain)
    shared = common(reading.text, head)
    floor = max((seen for seen, place in reading.first.seen if place.number < number and seen <= at), default=0)
    if not marked or shared < floor:
        return at
    if shared == len(head):
        return shared
    asked = reading.template.try_render(reading.messages[:number], prompt=True)
    silent = reading.template.try_render(reading.messages[:number])
    if len(asked) > len(silent) and head.startswith(asked) and len(asked) <= shared:
        return min(at, len(asked))
    opened = _OPEN.search(reading.text[floor:shared])
    return min(at, floor + opened.start() if opened else shared)


def _stretched(reading: Reading, turn: Turn, look: Look, place: Place) -> Turn:
    """The turn with words of its own at its end that are the template's words, too."""
    text = text_at(reading.messages[turn.number], place.path)
    after = [mark.offset for mark in look.places if mark[:2] == place[:2] and mark.offset > place.offset]
    stop = turn.stop + len(text) - place.offset
    if after or not text[place.offset :].strip() or reading.seen_at(turn.number, place.path, len(text)) != stop:
        return turn
    probe = reading.probe()
    message = probe.mark_at(turn.number, reading.messages[turn.number], place.path, [len(text)])
    return Turn(turn.number, turn.start, stop, message)


def _with_empty_content(reading: Reading, turn: Turn) -> Turn:
    """The turn up to its content, where that is empty and the template writes it after what else the turn says."""
    for path, text in own_texts(reading.messages[turn.number]).items():
        at = reading.seen_at(turn.number, path, 0) if path[0] == "content" and not text else None
        if at is not None and at > turn.stop:
            message = reading.probe().mark_at(turn.number, reading.messages[turn.number], path, [0])
            turn = Turn(turn.number, turn.start, at, message)
    return turn
