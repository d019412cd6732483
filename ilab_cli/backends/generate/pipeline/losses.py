"""What was rejected and why: how many rows for each reason, and a few of them to be looked at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Self

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
            examples.append({name: str(row.get(column) or "") for column, name in _SHOWN.items()})

    def __iadd__(self, other: Any) -> Self:
        super().__iadd__(other)
        for reason, rows in getattr(other, "examples", {}).items():
            examples = self.examples.setdefault(reason, [])
            examples += rows[: MOST - len(examples)]
        return self
