"""How far a run of MT-Bench is: a bar on a terminal, elsewhere a line now and then. All of it goes to stderr."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from time import monotonic

from ilab_cli.backends.client.client import Client
from ilab_cli.output import lively, say

__all__ = ["shown"]

_PAUSE = 0.25
"""Seconds between looks at what goes wrong."""
_SILENCE = 15.0
"""Most seconds without a line, where there is no bar."""


@asynccontextmanager
async def shown(total: int, clients: Sequence[Client], name: str) -> AsyncIterator[Callable[[int], None]]:
    """Show how far a run is for the length of a block.

    Args:
        total: judgements there will be.
        clients: who may be in trouble, which is told.
        name: what is run.

    Returns:
        what is to be called with the number of judgements whenever there are more.
    """
    from tqdm import tqdm

    bar = tqdm(
        total=total,
        desc=name,
        unit=" judgements",
        leave=False,
        dynamic_ncols=True,
        disable=not lively(sys.stderr),
        file=sys.stderr,
    )
    done = 0

    def more(number: int) -> None:
        nonlocal done
        done += number
        bar.update(number)

    async def tell() -> None:
        said, in_trouble = monotonic(), False
        while True:
            troubles = [trouble for client in clients for trouble in client.troubles]
            if (troubles and not in_trouble) or (bar.disable and monotonic() - said >= _SILENCE):
                say("; ".join([f"{name}: {done} of {total} judgements", *troubles]))
                said = monotonic()
            in_trouble = bool(troubles)
            await asyncio.sleep(_PAUSE)

    task = asyncio.create_task(tell())
    try:
        yield more
    finally:
        task.cancel()
        bar.close()
