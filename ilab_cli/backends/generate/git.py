"""Git, called as a program: one way to run it, to end it, and one exception for whatever keeps it from doing so.

Git is told to run no hooks, no watcher, no pager and no helper that asks for a password, and to speak only protocols
that run no program of the other side's choice. What is asked of it is decided by the callers.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock

__all__ = ["GitError", "git", "git_ended"]

_PATIENCE = 600.0  # seconds that one call may take
_SAFE = ("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "gc.auto=0")
_STALLED = ("-c", "http.lowSpeedLimit=1", "-c", "http.lowSpeedTime=60")
_ENVIRONMENT = {
    "LC_ALL": "C",
    "GIT_ALLOW_PROTOCOL": "file:git:http:https:ssh",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "true",
    "SSH_ASKPASS": "true",
}
# Where git runs us, as from one of its hooks, these speak of its repository and not of ours.
_FOREIGN = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR", "GIT_PREFIX")


class GitError(Exception):
    """Git could not do what it was asked for; the text says why, in one line and without passwords."""


def git(*arguments: str, folder: Path, given: bytes = b"") -> bytes:
    """Run git in a folder and return what it prints.

    Args:
        arguments: the command and what it takes.
        folder: where it runs.
        given: what it reads from its standard input.

    Raises:
        GitError: if git is missing, fails or takes too long.
    """
    variables = {name: value for name, value in os.environ.items() if name not in _FOREIGN} | _ENVIRONMENT
    variables.setdefault("GIT_SSH_COMMAND", "ssh -o BatchMode=yes -o ConnectTimeout=30")
    command = ["git", *_SAFE, *_STALLED, *arguments]
    try:
        process = _start(command, folder, variables)
    except FileNotFoundError:
        raise GitError("the program git is not installed") from None
    except OSError as error:
        raise GitError(f"git cannot be run: {error.strerror}") from None
    with process:
        try:
            printed, told = process.communicate(given, _PATIENCE)
        except subprocess.TimeoutExpired:
            raise GitError(f"git took longer than {_PATIENCE:.0f} seconds") from None
        finally:
            _running.discard(process)
            _end(process)
    if process.returncode:
        raise GitError(_reason(told.decode(errors="replace")))
    return printed


_running: set[subprocess.Popen[bytes]] = set()
_starting = Lock()
_over = False


def _start(command: list[str], folder: Path, variables: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start git in a session of its own: it has programs of its own to end with it, and nobody to ask."""
    pipe = subprocess.PIPE
    with _starting:
        if _over:
            raise GitError("interrupted")
        process = subprocess.Popen(
            command, cwd=folder, env=variables, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
        )
        _running.add(process)
    return process


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)  # git then ends what it started


@contextmanager
def git_ended() -> Iterator[None]:
    """End git wherever it runs, in other threads too, and let it not begin anew for the length of the block."""
    global _over
    with _starting:
        _over = True
    try:
        for process in tuple(_running):
            _end(process)
        yield
    finally:
        _over = False


def _reason(told: str) -> str:
    """The line of git's complaint that says most: the first that is an error, else the first of all.

    Where ssh failed, git's own line says nothing; that of ssh stands above it.
    """
    lines = [line.strip() for line in told.splitlines() if line.strip()] or ["git gives no reason"]
    at = next((number for number, line in enumerate(lines) if line.startswith(("fatal: ", "error: "))), 0)
    line = re.sub(r"//[^/@\s]+@", "//", lines[at].removeprefix("fatal: ").removeprefix("error: "))
    return f"{line} {lines[at - 1]}" if at and line.startswith("Could not read from remote") else line
