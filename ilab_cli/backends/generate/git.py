"""Git, called as a program: one way to run it, and one exception for whatever keeps it from doing so.

Git is told to run no hooks, no watcher, no pager and no helper that asks for a password, and to speak only protocols
that run no program of the other side's choice. What is asked of it is decided by the callers.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

__all__ = ["GitError", "git"]

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
        done = subprocess.run(command, cwd=folder, input=given, env=variables, capture_output=True, timeout=_PATIENCE)
    except FileNotFoundError:
        raise GitError("the program git is not installed") from None
    except OSError as error:
        raise GitError(f"git cannot be run: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise GitError(f"git took longer than {_PATIENCE:.0f} seconds") from None
    if done.returncode:
        raise GitError(_reason(done.stderr.decode(errors="replace")))
    return done.stdout


def _reason(told: str) -> str:
    """The line of git's complaint that says most: the first that is an error, else the first of all."""
    lines = [line.strip() for line in told.splitlines() if line.strip()] or ["git gives no reason"]
    line = next((line for line in lines if line.startswith(("fatal: ", "error: "))), lines[0])
    return re.sub(r"//[^/@\s]+@", "//", line.removeprefix("fatal: ").removeprefix("error: "))
