"""What an answer of an endpoint means: the samples in it, or the kind of failure; and how long to wait after one.

Pure functions over what came back. That an endpoint is left alone for a while is told in ``line``.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Any

from ilab_cli.backends.client.requests import Answer, Reader, whole

__all__ = [
    "LONGEST_WAIT",
    "Failure",
    "Kind",
    "answers",
    "delay",
    "failure",
    "message",
    "pause",
    "piece_of",
    "retry_after",
]

_OVERLOAD = {408, 425, 429, 502, 503, 504, 529}
_KEY = {401, 403}
_MOVED = {301, 302, 303, 307, 308}
_NOT_FOUND = {*_MOVED, 404, 405, 410}
_SHOWN = 200


class Kind(Enum):
    """What a failure tells about whom."""

    UNREACHABLE = "no connection"
    """About the endpoint: it is away."""
    OVERLOAD = "overloaded"
    """About the load: too many calls at once, or too long a wait."""
    BROKEN = "broken"
    """About this answer: the same call may go well next time."""
    WRONG = "wrong request"
    """About the request: it never goes well."""
    NOT_FOUND = "not found"
    """About the settings: there is no such model, or no such address."""
    KEY = "key refused"
    """About the key."""


class Failure(Exception):
    """A call that got no usable answer.

    Args:
        kind: what that tells.
        reason: why, in words that are the same for the same cause.
        detail: what the endpoint said.
        wait: seconds for which the endpoint asks not to be called; ``None`` if it does not say.

    Attributes:
        counts: whether it is one of the tries that a call has; not if the endpoint was away or had been set aside
            meanwhile, for which the call is not to blame.
    """

    def __init__(self, kind: Kind, reason: str, detail: str = "", wait: float | None = None) -> None:
        self.kind, self.reason, self.detail, self.wait = kind, reason, detail, wait
        self.counts = kind is not Kind.UNREACHABLE
        super().__init__(f"{reason}: {detail}" if detail else reason)


def answers(content: bytes, key: str = "", read: Reader | None = None) -> list[Answer]:
    """The samples in the body of a successful answer, in order; choices without text are left out.

    Args:
        content: the body.
        key: the key, which no failure shows.
        read: what makes samples of it where they are not simply its texts.

    Raises:
        Failure: of kind ``BROKEN``, if there are none; what ``read`` raises.
    """
    try:
        data = json.loads(content)
    except (ValueError, RecursionError):
        reason = "answer is a web page" if content.lstrip()[:1] == b"<" else "answer is not whole JSON"
        raise Failure(Kind.BROKEN, reason, message(content, key)) from None
    choices = data.get("choices") if isinstance(data, dict) else None
    if not isinstance(choices, list):
        raise Failure(Kind.BROKEN, "answer without choices", message(content, key))
    if not choices:
        raise Failure(Kind.BROKEN, "answer with no choice in it")
    found = read(data) if read else [answer for choice in choices if (answer := _answer(choice))]
    if not found:
        raise Failure(Kind.BROKEN, "answer without text")
    return found


def _answer(choice: Any) -> Answer | None:
    """One sample of a chat (``message.content``) or of a completion (``text``)."""
    if not isinstance(choice, dict):
        return None
    said = choice.get("message")
    text = said.get("content") if isinstance(said, dict) else choice.get("text")
    return Answer(whole(text), choice.get("finish_reason")) if isinstance(text, str) else None


def piece_of(line: bytes) -> tuple[str, bool]:
    """The text in one line of a streamed answer (server-sent events), and whether the answer is whole with it."""
    content = line.removeprefix(b"data:").strip()
    if not line.startswith(b"data:") or content == b"[DONE]":
        return "", content == b"[DONE]"
    try:
        choice = json.loads(content)["choices"][0]
        text = choice["delta"].get("content")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return "", False
    return whole(text) if isinstance(text, str) else "", bool(choice.get("finish_reason"))


def failure(status: int, headers: Mapping[str, str], content: bytes, key: str = "") -> Failure:
    """What an answer with another status than 200 means."""
    if status in _KEY:
        kind = Kind.KEY
    elif status in _NOT_FOUND:
        kind = Kind.NOT_FOUND
    elif status in _OVERLOAD:
        kind = Kind.OVERLOAD
    else:
        kind = Kind.BROKEN if status >= 500 else Kind.WRONG
    location = headers.get("Location")
    detail = f"it is at {location} now" if location and status in _MOVED else message(content, key)
    return Failure(kind, f"HTTP {status}", detail, retry_after(headers.get("Retry-After")))


def retry_after(value: str | None, now: datetime | None = None) -> float | None:
    """Seconds to wait, from a ``Retry-After`` header: a number of seconds or a date (RFC 9110, 10.2.3)."""
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    date = date if date.tzinfo else date.replace(tzinfo=UTC)
    return max(0.0, (date - (now or datetime.now(UTC))).total_seconds())


def message(content: bytes, key: str = "") -> str:
    """What an endpoint says went wrong, in one short line: the ``message`` of its JSON, or its text without tags.

    The key is not in it, nor a part of one where the line is cut off.
    """
    content = content.replace(key.encode(), "…".encode()) if key else content
    text = content[:10_000].decode("utf-8", "replace")
    try:
        data = json.loads(content)
    except (ValueError, RecursionError):
        data = None
    for name in ("error", "message", "detail"):
        if isinstance(data, dict) and name in data:
            data = data[name]
    if isinstance(data, str):
        text = data
    text = " ".join(re.sub(r"<(style|script).*?</\1>|<[^>]*>", " ", text, flags=re.DOTALL).split())
    text = "".join(letter for letter in text if letter.isprintable())
    text = text.replace(key, "…") if key else text  # it may have been written with escapes
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


# --- how long to wait -------------------------------------------------------------------------------------------------

LONGEST_WAIT = 600.0
"""Seconds; an endpoint that asks for a longer wait is not waited for."""
_CALL, _CALL_MOST = 0.5, 30.0
_ENDPOINT, _ENDPOINT_MOST = 1.0, 60.0


def delay(tries: int) -> float:
    """Seconds until a call is tried again after so many failed tries.

    Drawn evenly between zero and half a second, doubled with each further try ("full jitter"), so that calls that
    failed together do not come back together. An endpoint that asks for a wait gets no call at all for so long.
    """
    return random.uniform(0, min(_CALL_MOST, _CALL * 2.0 ** (tries - 1)))


def pause(failures: int, asked: float | None = None) -> float:
    """Seconds for which an endpoint is left alone that failed that many times in a row."""
    return max(asked or 0.0, min(_ENDPOINT_MOST, _ENDPOINT * 2.0 ** (failures - 1))) * random.uniform(1, 1.25)
