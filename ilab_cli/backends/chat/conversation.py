"""A conversation: what was said, the instructions above it, and the files that it is kept in. Asks nobody."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from ilab_profiles import Finding, InputError
from ilab_profiles.diagnostics import Position, nearest
from ilab_profiles.problems import checked
from ilab_profiles.yaml.files import make_folder, write_atomically
from ilab_profiles.yaml.read import read

__all__ = ["CONTEXTS", "Conversation", "unknown_context"]

CONTEXTS = {
    "default": "You are a careful assistant. Answer what is asked, briefly, and say so when you are not sure.",
    "cli_helper": (
        "You help people to use a command line. Answer with the command that does what they want, "
        "then explain each part of it in one line. Warn of commands that delete or overwrite."
    ),
}
"""Instructions that a chat may begin with, by name."""


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    role: Literal["user", "assistant"]
    content: str


class _Kept(BaseModel):
    """What a file of a conversation holds."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    model: str = ""
    context: str = "default"
    messages: list[_Message]


@dataclass
class Conversation:
    """What was said so far.

    Attributes:
        context: name of the instructions, one of :data:`CONTEXTS`.
        messages: the turns, each with ``role`` and ``content``; without the instructions.
    """

    context: str = "default"
    messages: list[dict[str, str]] = field(default_factory=list)

    def asked(self, text: str) -> list[dict[str, str]]:
        """The messages to send for a question: instructions, what was said, and the question."""
        system = {"role": "system", "content": CONTEXTS[self.context]}
        return [system, *self.messages, {"role": "user", "content": text}]

    def answered(self, question: str, answer: str) -> None:
        """Keep a question and its answer."""
        self.messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]

    def save(self, file: Path, model: str) -> None:
        """Write the conversation to a file, which is replaced.

        Raises:
            InputError: if it cannot be written.
        """
        data: dict[str, Any] = {"model": model, "context": self.context, "messages": self.messages}
        make_folder(file)
        write_atomically(file, json.dumps(data, indent=2, ensure_ascii=False) + "\n")

    @classmethod
    def load(cls, file: Path) -> Conversation:
        """The conversation in a file that :meth:`save` wrote.

        Raises:
            InputError: with all that is wrong with it.
        """
        document = read(file)
        kept, findings = checked(_Kept, document.data, document)
        findings += unknown_context(kept.context if kept else "default", Position(str(file)))
        if findings or kept is None:
            raise InputError(findings)
        return cls(kept.context, [message.model_dump() for message in kept.messages])


def unknown_context(name: str, position: Position | None = None) -> Iterator[Finding]:
    """A finding if there are no instructions of this name."""
    if name not in CONTEXTS:
        near = nearest(name, CONTEXTS)
        hint = f"did you mean {near}?" if near else f"known: {', '.join(CONTEXTS)}"
        yield Finding("unknown-context", f"unknown context {name!r}", "chat.context", position, hint=hint)
