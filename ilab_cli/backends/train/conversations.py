"""Training data as they lie on disk: JSONL files of conversations, read and checked line by line.

A line is ``{"messages": [{"role": …, "content": …}, …]}``; other keys are carried along or ignored. Nothing here
knows of tokenizers or templates.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ilab_cli.backends.jsonl import first, not_json
from ilab_profiles import Finding, InputError, Position

__all__ = ["Conversation", "Message", "files_of", "problems_of", "read"]

Message = dict[str, Any]

_GZIP = b"\x1f\x8b"
_SURROGATE = re.compile("[\ud800-\udfff]")
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
        InputError: if it is not there, or a folder without a JSONL file.
    """
    path = Path(data_path)
    if os.path.isfile(path):  # unlike Path.is_file, it takes any name for an answer
        return [path]
    if not os.path.isdir(path):
        raise InputError(
            Finding(
                "data-not-found",
                f"no such file or folder: {path}",
                "train.data_path",
                hint="name a JSONL file or a folder of such files",
            )
        )
    files = sorted(file for file in path.glob("[!.]*.jsonl") if file.is_file())
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
        the sound conversations, and a finding for each thing that is wrong with another line, or with all of it; of a
        file with many wrong lines the first ones, and how many there are more.
    """
    conversations: list[Conversation] = []
    findings: list[Finding] = []
    for file in files:
        items = list(_read_lines(file))
        conversations += [item for item in items if isinstance(item, Conversation)]
        findings += first([item for item in items if isinstance(item, Finding)], file)
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


def _read_lines(file: Path) -> Iterator[Conversation | Finding]:
    """Each line of a file that is not empty: its conversation, or a finding for each thing that is wrong with it."""
    raw = file.read_bytes()
    if raw.startswith(_GZIP):
        yield Finding("data-line", "it is a gzip file", "train.data_path", Position(str(file)), hint=f"gunzip {file}")
        return
    for number, line in enumerate(raw.splitlines(), start=1):
        if not line.strip():
            continue
        position = Position(str(file), number)
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            message, position = not_json(error, position)
            yield Finding("data-line", message, "train.data_path", position, hint=f"a line looks like {_EXAMPLE}")
            continue
        problems = list(problems_of(value))
        for problem in problems:
            yield Finding("data-line", problem, "train.data_path", position, hint=f"a line looks like {_EXAMPLE}")
        if not problems:
            yield Conversation(value["messages"], position)


def problems_of(value: object) -> Iterator[str]:
    """What keeps a line's value from being a conversation to learn from."""
    if not isinstance(value, dict):
        yield "not a JSON object"
        return
    messages = value.get("messages")
    if not isinstance(messages, list) or not messages:
        what = "not a list of messages" if messages else "empty"
        yield f"`messages` is {what}" if "messages" in value else "`messages` is missing"
        return
    for number, message in enumerate(messages):
        if not isinstance(message, dict):
            yield f"messages[{number}] is not an object with role and content"
            continue
        for key in ("role", "content"):
            text = message.get(key)
            if not isinstance(text, str):
                yield f"messages[{number}].{key} is {'missing' if key not in message else 'not text'}"
            elif not text.isascii() and _SURROGATE.search(text):
                yield f"messages[{number}].{key} holds half of a surrogate pair, \\ud800 to \\udfff"
    if not any(isinstance(message, dict) and message.get("role") == "assistant" for message in messages):
        yield "no assistant turn: nothing to learn"
