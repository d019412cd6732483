"""Work divided among processes: a function over many tasks, results in order, and nobody left behind at the end.

Nothing here knows what the tasks are. With one process there is no other than our own.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

__all__ = ["Apply", "processes"]

Task = TypeVar("Task")
Result = TypeVar("Result")
Apply = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]
"""Like the built-in ``map``: ``apply(function, tasks)`` yields the results in the order of the tasks."""
_AHEAD = 4
"""Tasks of each process that are begun before their results are asked for: more results would pile up in memory."""


@contextmanager
def processes(number: int) -> Iterator[Apply]:
    """Give an :data:`Apply` that works in so many processes; functions and tasks have to be picklable.

    What a function raises is raised here; then, and at the end of the block, tasks that have not begun are given up.
    """
    if number <= 1:
        yield map
        return
    context = multiprocessing.get_context("spawn")  # a fork would copy the locks of our threads
    pool = ProcessPoolExecutor(number, context, initializer=_follow_parent)

    def apply(function: Callable[[Any], Any], tasks: Iterable[Any]) -> Iterator[Any]:
        begun: deque[Future[Any]] = deque()
        for task in tasks:
            with _interrupts_held():  # processes are started here, and inherit what is held
                begun.append(pool.submit(function, task))
            if len(begun) > _AHEAD * number:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()

    try:
        yield apply
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Hold back Ctrl-C until the end of the block, and for ever in processes that are started in it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _follow_parent() -> None:
    """Leave Ctrl-C to the parent, and end with it, however it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_after_parent, daemon=True).start()


def _end_after_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
