"""What the cases share: a folder of their own, and things that are dear to make, made once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Workshop"]


@dataclass(frozen=True)
class Workshop:
    """Where a case works.

    Attributes:
        folder: an empty folder of this case.
        make_student: makes the tiny student of ``examples/tiny_student.py``, once for all cases.
    """

    folder: Path
    make_student: Callable[[], Path]

    @property
    def student(self) -> str:
        """Folder of the tiny student: model and tokenizer, which many cases read and none may change."""
        return str(self.make_student())
