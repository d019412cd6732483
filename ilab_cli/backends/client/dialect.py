"""What an endpoint wants said otherwise: learned from its refusals, so that it is asked wrongly once, not each time.

Servers that call themselves compatible with OpenAI differ in a few fields. Some want ``max_completion_tokens`` instead
of ``max_tokens``; models that reason refuse a temperature; templates of chats may know no system role. Each of them
says so when it refuses. What is learned changes what is sent, never what is asked for, so that the journal's keys stay.
"""

from __future__ import annotations

import json
import re
from typing import Any

from ilab_cli.backends.client.failures import Failure, Kind

__all__ = ["Dialect", "merged"]

_LIMIT, _NEW_LIMIT = "max_tokens", "max_completion_tokens"
_LEFT_OUT = ("temperature", "seed")
"""Fields that an answer can do without."""
_UNKNOWN = re.compile(
    r"(un|not |n't )(be )?support|unrecogni[sz]ed|unknown|unexpected|not (permitted|allowed|available)|additional prop",
    re.IGNORECASE,
)
_NO_SYSTEM = re.compile(
    r"system[^.]{0,40}(not|un|n't )\s?support|(not|n't) support[^.]{0,20}system|unsupported[^.]{0,60}system"
    r"|only user and assistant roles|(?<!optional system message, )conversation roles must alternate",
    re.IGNORECASE,
)


class Dialect:
    """How one model of an endpoint is asked; at first as everybody is.

    Attributes:
        learned: what is done otherwise since the endpoint refused it, in words.
    """

    def __init__(self) -> None:
        self.learned: list[str] = []
        self._left_out: set[str] = set()
        self._new_limit = self._merges = False

    def learn(self, refusal: Failure, content: bytes) -> None:
        """Take in why a call was refused; most refusals have nothing to do with how it was said.

        Args:
            refusal: what came back.
            content: the call, as it would be sent to an endpoint that nothing is known of.
        """
        if refusal.kind not in (Kind.WRONG, Kind.BROKEN):
            return
        said, sent = refusal.detail, json.loads(content)
        if not self._merges and _NO_SYSTEM.search(said) and merged(messages := sent.get("messages", [])) != messages:
            self._merges = True
            self.learned.append("takes no system role: its text begins the turn of the user")
        if refusal.kind is not Kind.WRONG or not _UNKNOWN.search(said):
            return
        if not self._new_limit and _LIMIT in sent and _names(_LIMIT, said):
            self._new_limit = True
            self.learned.append(f"takes {_NEW_LIMIT} instead of {_LIMIT}")
        for field in _LEFT_OUT:
            if field not in self._left_out and field in sent and _names(field, said):
                self._left_out.add(field)
                self.learned.append(f"takes no {field}")

    def adapt(self, content: bytes) -> bytes:
        """A call as the endpoint wants it."""
        if not self.learned:
            return content
        body: dict[str, Any] = json.loads(content)
        if self._merges and "messages" in body:
            body["messages"] = merged(body["messages"])
        if self._new_limit and _LIMIT in body:
            body[_NEW_LIMIT] = body.pop(_LIMIT)
        for field in self._left_out:
            body.pop(field, None)
        return json.dumps(body).encode()


def merged(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The messages of a chat, with the text of a first message of the system at the start of the user's first one."""
    match messages:
        case [{"role": "system", "content": str(system)}, {"role": "user", "content": str(user)}, *rest]:
            return [{"role": "user", "content": f"{system.strip()}\n\n{user}"}, *rest]
    return messages


def _names(field: str, text: str) -> bool:
    return re.search(rf"(?<!\w){field}(?!\w)", text) is not None
