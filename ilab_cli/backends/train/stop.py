"""Stopping a training in order: it finishes its step, saves a checkpoint and ends, and the same command goes on.

SIGTERM, SIGUSR1 and the deadline ``max_hours`` ask for that, as schedulers and machines that may be taken away do. The
launcher hears them and passes them on, as a byte in the pipe that is its workers' standard input; workers hear the
signals too, which a scheduler may send to every process. Whoever heard first, the workers agree on the step. torchrun
alone is kept deaf: it would give its workers 30 seconds and then kill them, whatever they are writing.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from subprocess import Popen
from types import FrameType, TracebackType
from typing import Self

from ilab_cli.output import TERMINATED, UNFINISHED, level

__all__ = ["Stop", "StopOfAll", "deaf", "note", "read_note"]

_SIGNALS = (signal.SIGTERM, signal.SIGUSR1)
_NOTE = "stopped.txt"
_SECONDS = 3600
_STOPPING = b"stopping: a checkpoint is saved after this step; SIGTERM stops at once\n"


class _Asked:
    """Whether a stop was asked for, in this process.

    Args:
        hours: after which it is asked for, too.
    """

    def __init__(self, hours: float | None) -> None:
        self.asked = False
        self._alarm = threading.Timer(min((hours or 0) * _SECONDS, threading.TIMEOUT_MAX), self.ask)
        self._alarm.daemon = True
        if hours:
            self._alarm.start()

    def ask(self) -> None:
        """Ask for it."""
        self.asked = True


class StopOfAll(_Asked):
    """What the launcher knows of a stop, and how it passes that on; a context for the length of the command.

    A second SIGTERM, and one where nothing is being trained, do what SIGTERM does without this.
    """

    def __init__(self, hours: float | None) -> None:
        self.terminated = False
        self._pipe: int | None = None
        self._before = {number: signal.getsignal(number) for number in _SIGNALS}
        super().__init__(hours)  # from now on it may be asked for

    def __enter__(self) -> Self:
        signal.signal(signal.SIGUSR1, lambda *_: self.ask())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._alarm.cancel()
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @property
    def code(self) -> int:
        """The exit code of the command after a stop."""
        return TERMINATED if self.terminated else UNFINISHED

    def ask(self) -> None:
        """Ask the workers, now or when they are there."""
        if not self.asked and level() >= 1:
            os.write(2, _STOPPING)  # a handler of signals must not print: it may have come in the middle of that
        super().ask()
        if self._pipe is not None:
            with suppress(OSError):
                os.write(self._pipe, b"\n")

    def _terminate(self, *_: object) -> None:
        self.terminated = True
        signal.signal(signal.SIGTERM, self._before[signal.SIGTERM])
        self.ask()

    @contextmanager
    def passed_on(self, torchrun: Popen[bytes]) -> Iterator[None]:
        """Pass it on to the workers of ``torchrun``, which have its standard input, for the length of a block."""
        assert torchrun.stdin is not None
        self._pipe = torchrun.stdin.fileno()
        signal.signal(signal.SIGTERM, self._terminate)
        try:
            if self.asked:
                self.ask()
            yield
        finally:
            self._pipe = None
            signal.signal(signal.SIGTERM, self._before[signal.SIGTERM])


@contextmanager
def deaf() -> Iterator[None]:
    """Let what is started in a block not hear the signals; this process hears them when the block ends."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Stop(_Asked):
    """What a worker knows of a stop.

    Attributes:
        asked: whether this process heard of it.
        agreed: whether all have agreed to end after the step that was done last.
    """

    def __init__(self, hours: float | None = None) -> None:
        self.agreed = False
        super().__init__(hours)

    def listen(self, failure: Path) -> None:
        """Hear the signals from now on.

        Args:
            failure: the file in which a process that failed tells why; where it is, torchrun's SIGTERM means the end.
        """

        def hear(number: int, _: FrameType | None) -> None:
            if number == signal.SIGTERM and failure.exists():
                os._exit(1)
            self.ask()

        for number in _SIGNALS:
            signal.signal(number, hear)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # with it the launcher has torchrun end everything at once
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)


def note(run: Path, text: str) -> None:
    """Leave word for the launcher that the run was stopped."""
    (run / _NOTE).write_text(text, encoding="utf-8")


def read_note(run: Path) -> str | None:
    """The word that was left, which is taken away; ``None`` if there is none."""
    try:
        return (run / _NOTE).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    finally:
        (run / _NOTE).unlink(missing_ok=True)
