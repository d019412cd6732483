"""Ending work in order: SIGTERM, which schedulers send, does as Ctrl-C does."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["stoppable"]


@contextmanager
def stoppable() -> Iterator[None]:
    """Treat SIGTERM like Ctrl-C for the length of a block, in asyncio too."""
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(*_: object) -> None:
    if not callable(signal.getsignal(signal.SIGINT)):  # Ctrl-C is switched off, as for a job in the background
        raise KeyboardInterrupt
    signal.raise_signal(signal.SIGINT)
