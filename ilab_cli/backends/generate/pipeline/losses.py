"""What was rejected and why: how many rows for each reason, and a few of them to be looked at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

__all__ = ["MOST", "Losses"]

MOST = 20
"""Most examples that are kept of a reason."""
_SHOWN = {"question": "question", "response": "response", "document_name": "document"}
"""The columns that an example keeps, and what they are called in it."""


class Losses(Counter[str]):
    """Numbers of rejected rows by reason.

    Attributes:
        examples: for each reason the first rows that it was given for: question, response and name of the document,
            as far as they had them.
    """

    def __init__(self, *counts: Any) -> None:
        super().__init__(*counts)
        self.examples: dict[str, list[dict[str, str]]] = {}

    def add(self, reason: str, row: Mapping[str, Any]) -> None:
        """Count a row, and keep it if there are few of its kind."""
        self[reason] += 1
        examples = self.examples.setdefault(reason, [])
        if len(examples) < MOST:
            examples.append({name: _writable(row.get(column)) for column, name in _SHOWN.items()})

    def take_in(self, other: Counter[str]) -> None:
        """Count what others count too, and keep their examples as long as there are few."""
        self.update(other)
        for reason, rows in other.examples.items() if isinstance(other, Losses) else ():
            examples = self.examples.setdefault(reason, [])
            examples += rows[: MOST - len(examples)]


def _writable(value: object) -> str:
    """A value as text that a file can hold: some rows are rejected because theirs cannot be written."""
    return str(value or "").encode("utf-8", "backslashreplace").decode()
