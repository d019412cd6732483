"""Rows in work side by side: each goes its own way, and none waits for another. What the work is, is not known here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TypeVar

__all__ = ["run"]

Item = TypeVar("Item")
Result = TypeVar("Result")


async def run(
    take: Callable[[], Item | None], work: Callable[[Item], Awaitable[Result]], limit: int
) -> AsyncGenerator[tuple[Item, Result], None]:
    """Work on rows, each in a task of its own; gives rows and results as they finish.

    Twice as many rows as calls that may be in flight keep an endpoint busy to the end (see ``line``). Whoever leaves
    early should close the iterator (``contextlib.aclosing``): rows in work are cancelled then.

    Args:
        take: the next row; ``None`` if there is none now. It is asked again whenever a row is finished, and the stream
            ends when there is none and none is in work. For an iterable: ``functools.partial(next, iter(rows), None)``.
        work: what is done with a row; what it raises ends the stream.
        limit: rows in work at once.
    """
    finished: asyncio.Queue[asyncio.Task[tuple[Item, Result]]] = asyncio.Queue()

    async def one(row: Item) -> tuple[Item, Result]:
        return row, await work(row)

    tasks: set[asyncio.Task[tuple[Item, Result]]] = set()
    try:
        while True:
            while len(tasks) < limit and (row := take()) is not None:
                task = asyncio.create_task(one(row))
                tasks.add(task)
                task.add_done_callback(finished.put_nowait)
            if not tasks:
                return
            task = await finished.get()
            tasks.remove(task)
            yield task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
