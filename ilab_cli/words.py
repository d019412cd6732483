"""The words of the command line, also where a shell asks to complete them.

They are looked at before anything is parsed, so that only the command that they name is made.
"""

from __future__ import annotations

import os
import shlex
import sys
from functools import cache

__all__ = ["asked", "dashed", "invoked", "is_completion", "words"]


ANYWHERE = frozenset({"--quiet", "--verbose", "--debug"})
"""Flags that may stand anywhere, and are not among the words."""


def is_completion() -> bool:
    """Whether a shell asks what may come next."""
    return "_ILAB_COMPLETE" in os.environ


@cache
def words() -> tuple[str, ...]:
    """What stands after ``ilab``, flags with ``-`` for ``_``."""
    if is_completion():
        line = os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS") or ""  # bash; the other shells
        return tuple(dashed(_split(line)[1:]))
    return tuple(word for at, word in enumerate(_all()) if word not in ANYWHERE or at > _end())


def asked(flag: str) -> bool:
    """Whether one of the flags that may stand anywhere is given."""
    return flag in _all()[: _end()]


@cache
def _all() -> list[str]:
    return dashed(sys.argv[1:])


def _end() -> int:
    return _all().index("--") if "--" in _all() else len(_all())


def _split(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:  # a quote that is still open
        return line.split()


def invoked(name: str) -> bool:
    """Whether the words name a group or command of this name, so that it must be made whole."""
    return name in words()


def dashed(arguments: list[str]) -> list[str]:
    """Arguments with ``-`` for ``_`` in the names of long flags, up to a lone ``--``."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    return [_dashed(word) for word in arguments[:end]] + arguments[end:]


def _dashed(argument: str) -> str:
    if not argument.startswith("--"):
        return argument
    name, equals, value = argument.partition("=")
    return name.replace("_", "-") + equals + value
