"""Messages in the form that a chat template takes them in, found out by what it makes of them.

A content may be a list of parts, and null beside tool calls. A template that knows only text would write Python's names
for these, or nothing: it gets the parts' texts joined, and an empty text.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from ilab_cli.backends.train.data.chat_template import ChatTemplate
from ilab_cli.backends.train.data.conversations import Message
from ilab_cli.backends.train.data.marks import Probe, free_range, own_texts

__all__ = ["taken"]


def taken(template: ChatTemplate, messages: Sequence[Message]) -> list[Message]:
    """The messages, with text for each content that the template does not take as it is."""
    return _without_null(template, _without_parts(template, list(messages)))


def _without_parts(template: ChatTemplate, messages: list[Message]) -> list[Message]:
    """Join the parts of each message that the template writes only so."""
    if not any(isinstance(message.get("content"), list) for message in messages):
        return messages
    joined = [_joined(message) for message in messages]
    only_joined = _written(template, joined) - _written(template, messages)
    return [joined[number] if number in only_joined else message for number, message in enumerate(messages)]


def _joined(message: Message) -> Message:
    content = message.get("content")
    return message | {"content": "".join(part["text"] for part in content)} if isinstance(content, list) else message


def _written(template: ChatTemplate, messages: list[Message]) -> set[int]:
    """The messages, by number, whose content the template writes as text: in Python's own form no mark is left."""
    known = template.try_render(messages) + json.dumps(messages, ensure_ascii=False)
    probe = Probe(free_range(known), template.literals)
    marked: list[Message] = []
    for number, message in enumerate(messages):
        for path, text in own_texts(message).items():
            if path[0] == "content":
                message = probe.mark_at(number, message, path, [0, len(text)])
        marked.append(message)
    return {place.number for _, place in probe.read(template.try_render(marked))[1]}


def _without_null(template: ChatTemplate, messages: list[Message]) -> list[Message]:
    """Put an empty text where the template refuses a content that is missing, or writes ``None`` for it."""
    for number, message in enumerate(messages):
        if message.get("content") is None:
            other = [*messages[:number], message | {"content": ""}, *messages[number + 1 :]]
            if _names_null(template.try_render(messages), template.try_render(other)):
                messages = other
    return messages


def _names_null(text: str, other: str) -> bool:
    """Whether a text is another one with Python's name for null in it, or is not there while the other is."""
    at = next((index for index, (one, two) in enumerate(zip(text, other, strict=False)) if one != two), len(other))
    starts = range(max(0, at - len("None")), at + 1)
    return (not text and bool(other)) or any(
        text[start : start + 4].lower() == "none" and text[:start] + text[start + 4 :] == other for start in starts
    )
