"""What the cases share: a folder of their own, and things that are dear to make, made once."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, cast

__all__ = ["Once", "Workshop"]

T = TypeVar("T")


class Once:
    """Makes each thing once, and lets all of them go in the end."""

    def __init__(self, folder: Path, exits: ExitStack) -> None:
        self._folder, self._exits = folder, exits
        self._made: dict[object, object] = {}

    def __call__(self, make: Callable[[Path, ExitStack], T]) -> T:
        """What ``make`` makes in a folder of its own; what has to be ended it gives to the stack."""
        if make not in self._made:
            folder = self._folder / make.__name__
            folder.mkdir()
            self._made[make] = make(folder, self._exits)
        return cast(T, self._made[make])


@dataclass(frozen=True)
class Workshop:
    """Where a case works.

    Attributes:
        folder: an empty folder of this case.
        make_student: makes the tiny student of ``examples/tiny_student.py``, once for all cases.
        once: makes other things once for all cases.
    """

    folder: Path
    make_student: Callable[[], Path]
    once: Once

    @property
    def student(self) -> str:
        """Folder of the tiny student: model and tokenizer, which many cases read and none may change."""
        return str(self.make_student())

    def conversations(self, name: str, *words: int) -> str:
        """A file of conversations in the folder, each with an answer of so many words; its path."""
        path = self.folder / name
        answers = (" ".join(["cat"] * count) for count in words)
        rows = [
            {"messages": [{"role": "user", "content": "count"}, {"role": "assistant", "content": text}]}
            for text in answers
        ]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return str(path)
