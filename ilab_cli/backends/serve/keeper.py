"""Keep a program running for as long as the process that asked for it lives: ``keeper PARENT COMMAND…``.

The program gets a session of its own. When the parent is gone, however it ended, or when SIGTERM comes, all of its
processes are asked to end, and made to after a grace; a second SIGTERM makes them at once. Exits with the program's
code. Knows nothing of servers, and imports nothing but the standard library.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from types import FrameType

__all__ = ["GRACE", "main"]

GRACE = 5.0
"""Seconds that a program has for ending when it is asked to."""
_LOOK = 0.2  # seconds between looks at the parent and the program


class _Keeper:
    def __init__(self, parent: int) -> None:
        self.parent = parent
        self.asked = 0  # how often we were asked to stop

    def ask(self, number: int, frame: FrameType | None) -> None:
        self.asked += 1

    def keep(self, command: list[str]) -> int:
        """Run the command until it ends or is no longer wanted."""
        program = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
        while program.poll() is None and not self.asked and os.getppid() == self.parent:
            time.sleep(_LOOK)
        _signal(program, signal.SIGTERM)
        end = time.monotonic() + GRACE
        while program.poll() is None and self.asked < 2 and time.monotonic() < end:
            time.sleep(_LOOK)
        _signal(program, signal.SIGKILL)  # and with it what a program that ended has left
        return program.wait()


def _signal(program: subprocess.Popen[bytes], number: int) -> None:
    """Send a signal to a program and all its processes."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # the latter if all of them are zombies on macOS
        os.killpg(program.pid, number)


def main() -> int:
    """Run the command that the arguments name, see above."""
    keeper = _Keeper(int(sys.argv[1]))
    signal.signal(signal.SIGTERM, keeper.ask)
    signal.signal(signal.SIGINT, keeper.ask)
    code = keeper.keep(sys.argv[2:])
    return 128 - code if code < 0 else code  # as a shell tells of a signal


if __name__ == "__main__":
    sys.exit(main())
