"""How the program speaks: results to stdout, everything else to stderr, findings as text, and the exit codes."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterable
from typing import Any

import typer

from ilab_profiles import Finding, InputError

__all__ = ["BAD_INPUT", "FAILED", "INTERRUPTED", "OK", "reports", "say", "warn"]

OK = 0
FAILED = 1
BAD_INPUT = 2
INTERRUPTED = 130


def say(text: str) -> None:
    """Print a note for the person at the terminal."""
    print(text, file=sys.stderr, flush=True)


def warn(findings: Iterable[Finding]) -> None:
    """Print findings that do not stop the command."""
    for finding in findings:
        say(str(finding))


def reports(command: Callable[..., None]) -> Callable[..., None]:
    """Turn refused input and interruption of a command into messages and exit codes."""

    @functools.wraps(command)
    def call(*arguments: Any, **options: Any) -> None:
        try:
            command(*arguments, **options)
        except InputError as error:
            say(str(error))
            raise typer.Exit(BAD_INPUT) from None
        except KeyboardInterrupt:
            say("interrupted; the same command goes on from what was complete")
            raise typer.Exit(INTERRUPTED) from None

    return call
