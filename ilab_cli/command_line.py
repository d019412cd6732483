"""The words of the command line, also where a shell asks to complete them.

They are looked at before anything is parsed, so that only the command that they name is made.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from functools import cache
from types import SimpleNamespace
from typing import Any

from ilab_cli import style

__all__ = ["OffersAnywhere", "answering", "asked", "dashed", "invoked", "is_completion", "words"]


ANYWHERE = frozenset({"--quiet", "--verbose", "--debug"})
"""Flags that may stand anywhere, and are not among the words."""


def is_completion() -> bool:
    """Whether a shell asks what may come next."""
    return "_ILAB_COMPLETE" in os.environ


def tidy_completion() -> str:
    """Write the words that a shell asks about in the way this program reads them, for Typer.

    bash takes ``--flag=value`` for three words; the other shells tell where the line ends by a space.

    Returns:
        The ``--flag=`` that the shell takes for the beginning of the word to complete, if it does.
    """
    if "COMP_WORDS" in os.environ:
        line, at = _split(os.environ["COMP_WORDS"]), int(os.environ["COMP_CWORD"])
        before = [word for word in _tidy(line[1:at]) if word != "="]
        os.environ["COMP_WORDS"] = shlex.join([line[0], *before, *dashed(line[at:])])
        os.environ["COMP_CWORD"] = str(1 + len(before))
    elif text := os.environ.get("_TYPER_COMPLETE_ARGS"):
        line = _split(text)
        at = len(line) - (not text.endswith(" "))
        tidied = shlex.join([line[0], *_tidy(line[1:at]), *dashed(line[at:])])
        os.environ["_TYPER_COMPLETE_ARGS"] = tidied + (" " if text.endswith(" ") else "")
    else:
        return ""
    name, equals, _ = "".join(line[at : at + 1]).partition("=")
    return name + equals if equals and name.startswith("--") else ""


def _tidy(line: list[str]) -> list[str]:
    return [word for word in dashed(line) if word not in ANYWHERE]


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
    for end in ("", "'", '"'):  # a quote may be open still
        with suppress(ValueError):
            return shlex.split(line + end)
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


# --- what a shell is told ---------------------------------------------------------------------------------------------


class OffersAnywhere:
    """Makes a command, or a group of them, offer the flags that are no options of Typer's there; and its help pleasant.

    A line of what it offers is never cut: Typer would show the first words of a help text alone.
    """

    def get_help(self, ctx: Any) -> str:
        """The page of help, with colour where that is wanted, and without Typer's marks around arguments."""
        text = re.sub(r"\{([A-Z|]+)\}| <[\w\[\]]+>", lambda found: found[1] or "", super().get_help(ctx))  # type: ignore[misc]
        return style.help_page(text, sys.stdout)

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """What Typer offers, and these flags."""
        found = super().shell_complete(ctx, incomplete)  # type: ignore[misc]
        flags = {*ANYWHERE, "--help", *([] if ctx.parent else ["--version"])} - {item.value for item in found}
        more = [flag for flag in sorted(flags) if incomplete and flag.startswith(incomplete)]
        return [*found, *(SimpleNamespace(value=flag, help=None) for flag in more)]


@contextmanager
def answering() -> Iterator[None]:
    """Let Typer answer a shell about a line that is tidied, and make the shell understand the answer."""
    from typer.completion import get_completion_inspect_parameters

    flag = tidy_completion()
    get_completion_inspect_parameters()  # makes the shells known, which Typer otherwise does for an app's options
    sys.modules["rich"] = None  # type: ignore[assignment]  # Typer would load it to take markup out, and we have none
    said = io.StringIO()
    try:
        with redirect_stdout(said):
            yield
    finally:
        print(_behind(flag, said.getvalue()), end="")


def _behind(flag: str, answer: str) -> str:
    """Values on offer for a flag that is one word with them: zsh can be told so, the others want that whole word."""
    if flag and os.environ["_ILAB_COMPLETE"] == "complete_zsh":
        return f"compset -P 1 '*='; {answer}"
    return "".join(f"{flag}{line}" if line.strip() else line for line in answer.splitlines(keepends=True))
