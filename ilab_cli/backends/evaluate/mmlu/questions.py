"""Questions: found in JSON files, and put into the one form in which the model is asked.

A record is one JSON object of the user's; a question is what the task's templates make of it. Templates are rendered
here, in Jinja's sandbox and with every mistake reported at its line, so that lm-eval gets plain text only. Which task
is asked is not decided here.
"""

from __future__ import annotations

import ast
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

from ilab_cli.backends.jsonl import first, not_json
from ilab_profiles.diagnostics import Finding, InputError, Position

__all__ = ["Question", "Record", "Templates", "locate", "read_records"]


@dataclass(frozen=True, slots=True)
class Record:
    """One JSON object of a data file, and its place."""

    data: dict[str, Any]
    position: Position


@dataclass(frozen=True, slots=True)
class Question:
    """One multiple-choice question.

    Attributes:
        text: the prompt, without the few-shot examples before it.
        choices: what the model may answer.
        answer: index of the right choice.
        description: what is said before the first example; empty for nothing.
        gen_prefix: what the answer begins with; empty for nothing.
    """

    text: str
    choices: list[str]
    answer: int
    description: str = ""
    gen_prefix: str = ""


def locate(name: str, beside: Path, root: Path) -> list[Path]:
    """Files that a task file means by a name, which may have been written in another folder or on another machine.

    A name is looked for from the task file's folder, then from the folder of tasks, then shortened from the left beside
    the task file, and at last from the working directory. ``*`` is allowed in a name.

    Returns:
        The files in order, empty if there is none.
    """
    path = Path(name)
    places = [path] if path.is_absolute() else [beside / path, root / path]
    places += [beside.joinpath(*path.parts[first:]) for first in range(1, len(path.parts))]
    if not path.is_absolute():
        places.append(path)
    for place in places:
        if os.path.isfile(place):
            return [place]
        if "*" in place.name and os.path.isdir(place.parent):
            found = sorted(p for p in place.parent.iterdir() if fnmatchcase(p.name, place.name) and p.is_file())
            if found:
                return found
    return []


def read_records(path: Path) -> list[Record]:
    """Read a JSONL file, or a JSON file that holds one list.

    Raises:
        InputError: with every line that is no JSON object.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        what = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise InputError(Finding("unreadable-file", f"cannot be read: {what}", position=Position(str(path)))) from None
    records, findings = [], []
    for line, part in _parts(text):
        position, message = Position(str(path), line), "a question must be a JSON object, {…}"
        try:
            value = json.loads(part)
        except (ValueError, RecursionError) as error:
            value, (message, position) = None, not_json(error, position)
        for item in value if isinstance(value, list) and part is text else [value]:
            if isinstance(item, dict):
                records.append(Record(item, position))
            else:
                findings.append(Finding("bad-question", message, position=position))
    if findings:
        raise InputError(first(findings, path))
    return records


def _parts(text: str) -> Iterator[tuple[int, str]]:
    """The parts of a text that are one JSON value each, with their lines: all of it if it is a list, else the lines."""
    if text.lstrip().startswith("["):
        yield 1, text
        return
    yield from ((number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip())


class Templates:
    """A task's ``doc_to_text``, ``doc_to_choice``, ``doc_to_target``, ``description`` and ``gen_prefix``.

    As in lm-eval, each is the name of a field of the record or a Jinja template over its fields.

    Args:
        settings: the keys of the task file.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        from jinja2 import StrictUndefined
        from jinja2.sandbox import SandboxedEnvironment

        self._settings = settings
        self._environment = SandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True)
        self._template = cache(self._environment.from_string)
        self._environment.filters["regex_replace"] = lambda text, pattern, new: re.sub(pattern, new, text)  # as lm-eval

    def mistakes(self) -> Iterator[tuple[str, str]]:
        """Each key whose template is not valid Jinja, with what is wrong with it."""
        from jinja2 import TemplateSyntaxError

        for key in ("doc_to_text", "doc_to_choice", "doc_to_target", "description", "gen_prefix"):
            if isinstance(template := self._settings.get(key), str):
                try:
                    self._template(template)
                except TemplateSyntaxError as error:
                    yield key, str(error.message)

    def questions(self, records: list[Record], task: str) -> list[Question]:
        """What is asked, for every record.

        Raises:
            InputError: with every record that the templates do not fit.
        """
        questions, findings = [], []
        for record in records:
            try:
                questions.append(self.question(record.data))
            except ValueError as error:
                hint = f"as the templates of the task {task} need it"
                findings.append(Finding("bad-question", str(error), position=record.position, hint=hint))
        if findings:
            raise InputError(first(findings, Path(records[0].position.source)))
        return questions

    def question(self, data: dict[str, Any]) -> Question:
        """What is asked for one record.

        Raises:
            ValueError: if a field is missing, or what the templates give is no multiple-choice question.
        """
        text = str(self._render("doc_to_text", data))
        choices = self._choices(data)
        answer = self._answer(data, choices)
        extra = {key: str(self._render(key, data)) for key in ("description", "gen_prefix") if self._settings.get(key)}
        try:
            "".join([text, *choices, *extra.values()]).encode()
        except UnicodeEncodeError:
            raise ValueError("half of a surrogate pair, \\ud800 to \\udfff, stands alone in the text") from None
        return Question(text, choices, answer, **extra)

    def _render(self, key: str, data: dict[str, Any]) -> Any:
        from jinja2 import TemplateError

        template = self._settings[key]
        if template in data:
            return data[template]
        try:
            return self._template(template).render(data)
        except (TemplateError, TypeError, ValueError, ArithmeticError, AttributeError, RuntimeError, re.error) as error:
            raise ValueError(f"{key}: {error}") from None

    def _choices(self, data: dict[str, Any]) -> list[str]:
        given = self._settings["doc_to_choice"]
        if isinstance(given, dict):
            given = list(given.values())
        elif isinstance(given, str):
            given = self._render("doc_to_choice", data)
            if isinstance(given, str):
                try:
                    given = ast.literal_eval(given)
                except (ValueError, SyntaxError, MemoryError, RecursionError):
                    raise ValueError(f"doc_to_choice gives {_short(given)}, which is not a list") from None
        if not isinstance(given, list) or len(given) < 2 or not all(isinstance(c, str) and c for c in given):
            raise ValueError(f"two or more choices are needed, each a text that is not empty, not {_short(given)}")
        return given

    def _answer(self, data: dict[str, Any], choices: list[str]) -> int:
        given = self._settings["doc_to_target"]
        if isinstance(given, str):
            template = given not in data
            given = self._render("doc_to_target", data)
            if template and given.isdecimal():
                given = int(given)
        if isinstance(given, str) and given in choices:
            return choices.index(given)
        if isinstance(given, int) and not isinstance(given, bool) and 0 <= given < len(choices):
            return given
        last = len(choices) - 1
        raise ValueError(f"the answer {_short(given)} is neither a choice nor the number of one, 0 to {last}")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
