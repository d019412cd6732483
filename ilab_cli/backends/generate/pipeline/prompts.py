"""Prompt files: what is said to the teacher, as Jinja templates over the columns of a row, and the tags of its answers.

A file has the sections ``system``, ``introduction``, ``principles``, ``examples`` and ``generation``, all of them
templates, and ``start_tags`` and ``end_tags``, one for each output column. Files older than version 0.7 of the older
ilab write ``{column}`` where later ones write ``{{column}}``; both are read. Templates are rendered in a sandbox.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from ilab_cli.backends.generate.pipeline.block import Row, Source
from ilab_cli.backends.generate.pipeline.validate import unknown_keys
from ilab_profiles import InputError
from ilab_profiles.diagnostics import Position, nearest
from ilab_profiles.problems import kind_of
from ilab_profiles.yaml.document import Document
from ilab_profiles.yaml.read import read

__all__ = ["Prompt", "PromptFailed", "open_prompt", "wrapper"]

SECTIONS = ("system", "introduction", "principles", "examples", "generation")
KEYS = (*SECTIONS, "start_tags", "end_tags")
_JINJA = re.compile(r"\{%|\{#|\{\{-?\s*[^\W\d]")
_SINGLE_BRACES = re.compile(r"\{(\w+)\}")
_BRACES = re.compile(r"\{\{|\}\}|\{(\w+)\}")
_END_OF_SYSTEM = "\0end of system\0"


class PromptFailed(Exception):
    """A prompt cannot be made from this row; the text says why, in words that are the same for the same cause."""


@dataclass(frozen=True)
class Prompt:
    """A prompt file that was read.

    Attributes:
        template: the compiled sections; ``_END_OF_SYSTEM`` stands after the system text.
        tags: start and end tag of each output column; both empty means the whole answer.
        needs: columns without which no prompt can be made, with where each is first named.
    """

    template: Any
    tags: tuple[tuple[str, str], ...]
    needs: dict[str, Position] = field(default_factory=dict)

    def render(self, row: Row) -> tuple[str, str]:
        """System text and user text for a row.

        Raises:
            PromptFailed: if a column is missing, or the template does with it what cannot be done.
        """
        system, end, user = _render(self.template, row).partition(_END_OF_SYSTEM)
        return (system.strip(), user.strip()) if end else ("", system)


@cache
def _environment() -> Any:
    """The sandbox in which all templates are rendered: an undefined name is an error, nothing can be changed."""
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    return ImmutableSandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True)


def open_prompt(path: Path, source: Source) -> Prompt | None:
    """Read a prompt file; what is wrong goes to ``source.findings``, and ``None`` comes back."""
    try:
        document = read(path)
    except InputError as error:
        source.findings.extend(error.findings)
        return None
    source, others = Source(document, (), source.settings), source.findings
    unknown_keys(source, {key: key for key in KEYS})
    _check_tags(source)
    sections = {name: _text(source, name) for name in SECTIONS}
    if not any(text.strip() for text in sections.values()):
        message = f"none of {', '.join(SECTIONS)} says anything"
        source.find("empty-prompt", message, hint="say at least in generation what to write")
    template, needs = _template(source, sections)
    others.extend(source.findings)
    if any(finding.severity == "error" for finding in source.findings):
        return None
    pairs = zip(document.data.get("start_tags") or [""], document.data.get("end_tags") or [""], strict=True)
    tags = tuple((str(start or ""), str(end or "")) for start, end in pairs)
    return Prompt(template, tags, needs)


@cache
def wrapper(text: str) -> Callable[[str], str]:
    """What makes a raw prompt of a plain one: a template with ``prompt`` or ``messages``, or a text with ``{prompt}``.

    Raises:
        ValueError: if it is a template and a wrong one.
    """
    from jinja2 import TemplateSyntaxError

    if "{{" not in text and "{%" not in text:
        return lambda prompt: text.replace("{prompt}", prompt) if text else prompt
    try:
        template = _environment().from_string(text)
    except TemplateSyntaxError as error:
        raise ValueError(f"wrong template: {error.message}") from None
    return lambda prompt: _render(
        template,
        {"prompt": prompt, "messages": [{"role": "user", "content": prompt}], "add_generation_prompt": True},
    )


def _check_tags(source: Source) -> None:
    counts = []
    for key in ("start_tags", "end_tags"):
        tags = source.document.data.get(key) or [""]
        if not isinstance(tags, list) or not all(isinstance(tag, str | None) for tag in tags):
            source.find("bad-value", "must be a list of texts", key, key=True, hint='write a list: ["<tag>"]')
        else:
            counts.append(len(tags))
    if len(set(counts)) > 1:
        message = f"{counts[0]} start tags, but {counts[1]} end tags"
        source.find("tags-disagree", message, "end_tags", key=True, hint="give each output column one of each")


def _text(source: Source, name: str) -> str:
    value = source.document.data.get(name)
    if isinstance(value, dict | list):
        source.find(
            "bad-value", f"must be text, not {kind_of(value)}", name, key=True, hint="write | and the text below it"
        )
        return ""
    return "" if value is None else str(value)


def _template(source: Source, sections: dict[str, str]) -> tuple[Any, dict[str, Position]]:
    """Compile the sections as one template, since a block of Jinja may begin in one and end in another."""
    from jinja2 import TemplateSyntaxError

    texts = _without_single_braces(source, sections)
    whole = "\n".join({**texts, "system": texts["system"] + _END_OF_SYSTEM}.values())
    try:
        tree = _environment().parse(whole)
        if not (wrong := [*_unusable(tree)]):
            needs = {name: _first(source.document, sections, name) for name in sorted(_undeclared(tree))}
            return _environment().from_string(tree), needs
    except TemplateSyntaxError as error:
        wrong = [(error.lineno, error.message, "in Jinja, {{ column }} stands for the value of a column")]
    for number, message, hint in wrong:
        position = _place(source.document, texts, number)
        source.find("wrong-template", f"wrong template: {message}", hint=hint, position=position)
    return None, {}


def _unusable(tree: Any) -> Iterator[tuple[int, str | None, str]]:
    """What Jinja would stumble over only when it renders: its line, what it is, and a hint."""
    from jinja2 import nodes

    for node in tree.find_all((nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)):
        yield node.lineno, "it takes in another file", "write here what it needs of it"
    for kind, known in ((nodes.Filter, _environment().filters), (nodes.Test, _environment().tests)):
        for node in tree.find_all(kind):
            if node.name not in known:
                near = nearest(node.name, known)
                hint = f"did you mean {near}?" if near else "Jinja's own can be used, and no others"
                yield node.lineno, f"there is no {kind.__name__.lower()} {node.name}", hint


def _render(template: Any, row: Row) -> str:
    from jinja2 import UndefinedError
    from jinja2.sandbox import SecurityError

    try:
        return str(template.render(row)).strip()
    except UndefinedError as error:
        raise PromptFailed(f"no prompt: {error.message}") from None
    except SecurityError:
        raise PromptFailed("no prompt: the template does what the sandbox forbids") from None
    except Exception as error:  # a template may do anything with a value: 1 / 0, "a" + 1, a filter of its own
        raise PromptFailed(f"no prompt: {type(error).__name__} in the template") from None


def _without_single_braces(source: Source, sections: dict[str, str]) -> dict[str, str]:
    first = next((name for name, text in sections.items() if _SINGLE_BRACES.search(text)), None)
    if first is None or any(_JINJA.search(text) for text in sections.values()):
        return sections
    message = "{column} is read as {{column}}, as in files older than version 0.7"
    hint = "write two braces where a column is meant"
    source.find("single-braces", message, first, key=True, hint=hint, severity="warning")
    return {name: _BRACES.sub(_as_jinja, text) for name, text in sections.items()}


def _as_jinja(found: re.Match[str]) -> str:
    """What stands for a column in single braces, or for two braces that mean one."""
    if found[1]:
        return "{{" + found[1] + "}}"
    return "{{ '{' }}" if found[0] == "{{" else "}"


def _undeclared(tree: Any) -> set[str]:
    """Names that a template takes from the row, without those it asks about (``is defined``, ``default``)."""
    from jinja2 import meta, nodes

    asked = {
        node.node.name
        for kind, names in ((nodes.Test, {"defined", "undefined"}), (nodes.Filter, {"default", "d"}))
        for node in tree.find_all(kind)
        if node.name in names and isinstance(node.node, nodes.Name)
    }
    return set(meta.find_undeclared_variables(tree)) - asked - set(_environment().globals)


def _place(document: Document, texts: dict[str, str], line: int) -> Position:
    """Where a line of joined sections stands in the file."""
    for name, text in texts.items():
        count = text.count("\n") + 1
        if line <= count:
            return _line_of(document, name, line)
        line -= count
    return document.position(())


def _line_of(document: Document, name: str, line: int) -> Position:
    """Where a line (from 1) of a section stands, as exactly as its way of writing allows."""
    start = document.position((name,))
    if document.line(start.line)[start.column - 1 : start.column] != "|":
        return start
    text = document.line(start.line + line)
    return Position(start.source, start.line + line, len(text) - len(text.lstrip()) + 1)


def _first(document: Document, sections: dict[str, str], name: str) -> Position:
    """Where a name is first used in sections."""
    word = re.compile(rf"\{{[^}}]*\b{re.escape(name)}\b")
    for section, text in sections.items():
        for number, line in enumerate(text.split("\n"), start=1):
            if word.search(line):
                position = _line_of(document, section, number)
                column = document.line(position.line).find(name, position.column - 1)
                return Position(position.source, position.line, column + 1) if column >= 0 else position
    return document.position(())
