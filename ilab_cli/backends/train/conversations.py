"""Training data as they lie on disk: JSONL files of conversations, read and checked line by line.

A line is ``{"messages": [{"role": …, "content": …}, …]}``; other keys are carried along or ignored. Nothing here
knows of tokenizers or templates.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ilab_profiles import Finding, InputError, Position

__all__ = ["Conversation", "Message", "files_of", "not_json", "problems_of", "read"]

Message = dict[str, Any]

_EXAMPLE = '{"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]}'


@dataclass(frozen=True, slots=True)
class Conversation:
    """One conversation and the line that it stands on."""

    messages: list[Message]
    position: Position


def files_of(data_path: str) -> list[Path]:
    """The JSONL files to train on: the file itself, or those of a folder, sorted by name.

    In a folder, files whose name begins with ``train`` are taken alone if there are any, so that test data beside
    them stay out of training.

    Raises:
        InputError: if there is no such file or folder, or no JSONL file in it.
    """
    path = Path(data_path)
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise InputError(
            Finding(
                "data-not-found",
                f"no such file or folder: {path}",
                "train.data_path",
                hint="name a JSONL file or a folder of such files",
            )
        )
    files = sorted(file for file in path.glob("*.jsonl") if file.is_file())
    if not files:
        raise InputError(
            Finding(
                "data-not-found",
                f"no *.jsonl file in {path}",
                "train.data_path",
                hint="make data first (ilab data generate), or name another folder",
            )
        )
    return [file for file in files if file.name.startswith("train")] or files


def read(files: Sequence[Path]) -> tuple[list[Conversation], list[Finding]]:
    """Read all conversations; empty lines are passed over.

    Returns:
        the sound conversations, and a finding for each thing that is wrong with another line, or with all of it.
    """
    conversations: list[Conversation] = []
    findings: list[Finding] = []
    for file in files:
        for number, line in enumerate(file.read_bytes().splitlines(), start=1):
            if not line.strip():
                continue
            position = Position(str(file), number)
            try:
                value = json.loads(line)
            except (ValueError, RecursionError) as error:
                findings.append(not_json(error, position))
                continue
            if problems := list(problems_of(value)):
                findings += [
                    Finding("data-line", problem, "train.data_path", position, hint=f"a line looks like {_EXAMPLE}")
                    for problem in problems
                ]
            else:
                conversations.append(Conversation(value["messages"], position))
    if not conversations and not findings:
        findings.append(
            Finding(
                "data-empty",
                "no conversation in it",
                "train.data_path",
                Position(str(files[0])),
                hint=f"a line looks like {_EXAMPLE}",
            )
        )
    return conversations, findings


def not_json(error: Exception, position: Position) -> Finding:
    """The finding for a line that cannot be read."""
    match error:
        case json.JSONDecodeError():
            position = Position(position.source, position.line, error.colno)
            message = f"not JSON: {error.msg}"
        case UnicodeDecodeError():
            message = "not UTF-8 text"
        case _:
            message = f"not JSON: {error}"
    return Finding("data-line", message, "train.data_path", position, hint=f"a line looks like {_EXAMPLE}")


def problems_of(value: object) -> Iterator[str]:
    """What keeps a line's value from being a conversation to learn from."""
    if not isinstance(value, dict):
        yield "not a JSON object"
        return
    messages = value.get("messages")
    if not isinstance(messages, list) or not messages:
        yield "`messages` is missing" if "messages" not in value else "`messages` is not a list of messages"
        return
    for number, message in enumerate(messages):
        if not isinstance(message, dict):
            yield f"messages[{number}] is not an object with role and content"
            continue
        for key in ("role", "content"):
            if not isinstance(message.get(key), str):
                yield f"messages[{number}].{key} is {'missing' if key not in message else 'not text'}"
    if not any(isinstance(message, dict) and message.get("role") == "assistant" for message in messages):
        yield "no assistant turn: nothing to learn"
