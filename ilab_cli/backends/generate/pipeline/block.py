"""What a block is: one row in, any number of rows out, and a reason for each row that goes no further.

The blocks themselves stand beside this file: those that ask the teacher in ``llm.py``, the others in
``columns.py`` and ``filters.py``. Nothing here reads files.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, PrivateAttr

from ilab_cli.backends.client.requests import Answer, Refused, Request
from ilab_profiles import Finding
from ilab_profiles.diagnostics import Position, Severity, nearest
from ilab_profiles.models.generate import Generate
from ilab_profiles.yaml.document import Document, KeyPath

__all__ = ["ROW_KEY", "Ask", "Block", "Rejected", "Row", "Source", "Uses", "named"]

Row = dict[str, Any]
"""A row: column names to values. The columns that seeds start with are told in ``load.py``."""

ROW_KEY = "row_key"
"""The column that tells a row from all others of a run; requests are named by it."""

Ask = Callable[[Request, int], Awaitable[Sequence[Answer | Refused]]]
"""Asks the teacher: a request and the number of samples; what became of each comes in their order."""


Uses = Iterator[tuple[str, Position | None]]
"""Columns that a block needs, each with where it is named, or ``None`` where that is the block's own ``config``."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that goes no further; rejected rows are counted by ``reason``, so it names no values of the row."""

    reason: str


def named(row: Row, *place: int) -> Row:
    """One of several rows that come of a row: its key tells its place among them, whatever became of the others.

    So it has the same key in every run, even where a sample before it was refused in one and answered in the other.
    """
    return {**row, ROW_KEY: ".".join(map(str, (row[ROW_KEY], *place)))}


@dataclass
class Source:
    """A place in a pipeline or prompt file, for the findings about it and for what is read on loading.

    Attributes:
        document: the file.
        at: keys that lead to the place, such as the ``config`` of a block.
        settings: the profile's section.
        findings: where findings are collected.
    """

    document: Document
    at: KeyPath
    settings: Generate
    findings: list[Finding] = field(default_factory=list)

    def below(self, *keys: str | int) -> Source:
        """A place below this one, with the same findings."""
        return Source(self.document, (*self.at, *keys), self.settings, self.findings)

    def find(
        self,
        rule: str,
        message: str,
        *below: str | int,
        hint: str = "",
        key: bool = False,
        severity: Severity = "error",
        position: Position | None = None,
    ) -> None:
        """Collect a finding about what stands ``below``, or at another position of the file."""
        finding = self.document.finding(rule, message, (*self.at, *below), hint, key=key, severity=severity)
        if position:
            finding = replace(finding, position=position, line_text=self.document.line(position.line))
        self.findings.append(finding)

    def file(self, name: str, *below: str | int) -> Path | None:
        """A file that is named ``below``, relative to this one; that it is not there is a finding."""
        path = Path(self.document.source).parent / name
        if path.is_file():
            return path
        beside = [other.name for other in path.parent.glob("*.y*ml")] if path.parent.is_dir() else []
        near = nearest(path.name, beside)
        hint = f"did you mean {Path(name).with_name(near)}?" if near else "it is looked for beside the pipeline file"
        self.find("missing-file", f"file not found: {path}", *below, hint=hint)
        return None


class Block(BaseModel):
    """A step of a pipeline. Its fields are what its ``config`` may hold."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    _name: str = PrivateAttr("")

    @property
    def name(self) -> str:
        """The block's name, which requests and counts are known by."""
        return self._name

    def called(self, name: str) -> Self:
        """The block under its name, which stands beside its ``config``."""
        self._name = name
        return self

    def open(self, source: Source) -> None:
        """Read what the block needs beside its own fields; what is wrong goes to ``source.findings``."""

    def reads(self) -> Uses:
        """The columns it needs."""
        yield from ()

    def after(self, columns: frozenset[str]) -> frozenset[str] | None:
        """The columns of its rows, given those of the row it gets; ``None`` if they cannot be told."""
        return columns

    async def run(self, row: Row, ask: Ask) -> list[Row | Rejected]:
        """What becomes of a row, which is not changed; where it becomes several, each is :func:`named`.

        Raises:
            KeyError: if the row lacks a column.
        """
        raise NotImplementedError
