"""What is asked of a teacher, what comes back, and how asking can fail: plain data that imports nothing heavy.

How a request travels, and when it is tried again, is told elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Answer", "EndpointFailed", "JournalFailed", "Refused", "Request", "Stopped", "whole"]


@dataclass(frozen=True, slots=True)
class Request:
    """One question.

    Args:
        row: key of the row it is asked for, the same in every run.
        block: name of the pipeline's block that asks.
        body: what the endpoint gets besides the model's name: ``messages`` (asks the chat endpoint) or ``prompt`` (asks
            for a completion), and settings such as ``max_tokens``. Where there is a ``seed``, the second sample is
            asked for with the seed after it, and so on, since the same seed would give the same answer.
    """

    row: str
    block: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """One sample of an answer; ``finish_reason`` is ``length`` where it was cut short, else mostly ``stop``."""

    text: str
    finish_reason: str | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """What stands in the place of a sample that got no usable answer.

    Args:
        reason: why, in a few words that are the same for the same cause, so that refusals can be counted by them.
    """

    reason: str


def whole(text: str) -> str:
    """A text with U+FFFD for each half of a character (of a surrogate pair), which no file could hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


class Stopped(Exception):
    """The run must stop; the text is the one line to show for it, and never holds a key. Nothing finished is lost."""


class EndpointFailed(Stopped):
    """No endpoint can be used: none is reachable, the key is refused, or the model is not served."""


class JournalFailed(Stopped):
    """The journal cannot be written any more, for example because the disk is full."""
