"""Documents that are kept, so that each file is read once for the length of a block, such as a command.

Imports next to nothing, as the program enters such a block before it knows whether any file will be read.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

__all__ = ["kept", "reading_once"]

_kept: ContextVar[dict[object, Any] | None] = ContextVar("kept", default=None)


@contextmanager
def reading_once() -> Iterator[None]:
    """Keep what is read for the length of a block; a file that changed is read anew."""
    before = _kept.set({})
    try:
        yield
    finally:
        _kept.reset(before)


def kept() -> dict[object, Any]:
    """The documents that are kept; outside of such a block, nothing is."""
    found = _kept.get()
    return {} if found is None else found
