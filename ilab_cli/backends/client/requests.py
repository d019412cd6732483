"""What is asked of an endpoint, what comes back, and how asking can fail: plain data that imports nothing heavy.

How a request travels, and when it is tried again, is told elsewhere.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Answer", "EndpointFailed", "JournalFailed", "Payload", "Reader", "Refused", "Request", "Stopped", "whole"]


@dataclass(frozen=True, slots=True)
class Answer:
    """One sample of an answer; ``finish_reason`` is ``length`` where it was cut short, else mostly ``stop``."""

    text: str
    finish_reason: str | None = None


Reader = Callable[[Any], list[Answer]]
"""What makes samples of the JSON that an endpoint answers."""


@dataclass(frozen=True, slots=True)
class Request:
    """One question.

    Args:
        row: key of the row it is asked for, the same in every run.
        block: name of the pipeline's block that asks.
        body: what the endpoint gets besides the model's name: ``messages`` (asks the chat endpoint) or ``prompt`` (asks
            for a completion), and settings such as ``max_tokens``. Where there is a ``seed``, the second sample is
            asked for with the seed after it, and so on, since the same seed would give the same answer.
        read: makes of the JSON that is answered the samples, where they are not simply its texts; raises ``Failure``.
    """

    row: str
    block: str
    body: Mapping[str, Any]
    read: Reader | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """What stands in the place of a sample that got no usable answer.

    Args:
        reason: why, in a few words that are the same for the same cause, so that refusals can be counted by them.
    """

    reason: str


class Payload:
    """A request for a model.

    Args:
        request: what is asked; ``n`` in its body is passed over, as the number of samples is told apart from it.
        model: name of the model.

    Attributes:
        path: path below the base URL of an endpoint.
        model: the model that is asked, which the body may name itself.
    """

    def __init__(self, request: Request, model: str) -> None:
        self.request = request
        self.path = "/chat/completions" if "messages" in request.body else "/completions"
        body: dict[str, Any] = {"model": model, **request.body}
        body.pop("n", None)
        self._seed = body.pop("seed", None)
        self.model = str(body["model"])
        self._text = json.dumps(body).encode()
        asked = f"{request.row}\0{request.block}\0{self.path}\0{self._seed}\0"
        self._hash = hashlib.sha256(asked.encode("utf-8", "surrogatepass") + self._text)

    def key(self, sample: int) -> str:
        """Key of one sample: SHA-256 over row, block, path, body, model and the number of the sample."""
        digest = self._hash.copy()
        digest.update(b"%d" % sample)
        return digest.hexdigest()

    def content(self, sample: int, number: int) -> bytes:
        """The bytes to send for that many samples, the first of which is ``sample``."""
        added: dict[str, int] = {}
        if number > 1:
            added["n"] = number
        if self._seed is not None:
            added["seed"] = self._seed + sample
        return self._text[:-1] + b", " + json.dumps(added).encode()[1:] if added else self._text


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
