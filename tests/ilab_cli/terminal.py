"""A person at a terminal: runs ``ilab`` on a pseudo-terminal, waits for what it says, and answers."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

CTRL_C = "ctrl-c"
CTRL_D = "\x04"
SECONDS = 30


class Done(NamedTuple):
    """How a program ended: its exit code, what it wrote to stdout (no terminal), and what the terminal showed."""

    returncode: int
    stdout: str
    shown: str


def talk(
    folder: Path,
    arguments: Iterable[str],
    dialogue: Iterable[tuple[str, str]],
    variables: Mapping[str, str] | None = None,
) -> Done:
    """Run ``ilab`` in a folder; the dialogue is what to wait for, and what to type then."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ILAB_")}
    environment |= {"ILAB_PROFILE_DIR": str(folder / "own"), "NO_COLOR": "1", **(variables or {})}
    person, terminal = os.openpty()
    with tempfile.TemporaryFile() as stdout:
        process = subprocess.Popen(
            [sys.executable, "-m", "ilab_cli", *arguments],
            cwd=folder,
            env=environment,
            stdin=terminal,
            stdout=stdout,
            stderr=terminal,
            start_new_session=True,
        )
        os.close(terminal)
        try:
            shown = "".join(_answered(process, person, awaited, answer) for awaited, answer in dialogue)
            shown += _until(person, None)
            code = process.wait(SECONDS)
        finally:
            process.kill()
            process.wait()
            os.close(person)
        stdout.seek(0)
        return Done(code, stdout.read().decode(), shown.replace("\r\n", "\n"))


def _answered(process: subprocess.Popen[bytes], terminal: int, awaited: str, answer: str) -> str:
    shown = _until(terminal, awaited)
    if answer == CTRL_C:
        process.send_signal(signal.SIGINT)
    else:
        os.write(terminal, answer.encode())
    return shown


def _until(terminal: int, awaited: str | None) -> str:
    """Read until something is shown, or to the end."""
    text, end = "", time.monotonic() + SECONDS
    while awaited is None or awaited not in text:
        ready, _, _ = select.select([terminal], [], [], max(0.0, end - time.monotonic()))
        assert ready, f"waited for {awaited!r} in vain: {text}"
        try:
            read = os.read(terminal, 4096)
        except OSError:  # how Linux tells that the other side is closed
            read = b""
        if not read:
            assert awaited is None, f"ended before {awaited!r}: {text}"
            break
        text += read.decode(errors="replace")
    return text
