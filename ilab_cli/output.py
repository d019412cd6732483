"""How the program speaks: results to stdout, everything else to stderr, findings as text, and the exit codes."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from ilab_cli.command_line import asked, words

if TYPE_CHECKING:
    from ilab_profiles import Finding

__all__ = [
    "BAD_INPUT",
    "FAILED",
    "INTERRUPTED",
    "NOT_READ",
    "TERMINATED",
    "OK",
    "cell",
    "columns",
    "configure",
    "debugging",
    "detail",
    "judge",
    "level",
    "lively",
    "print_json",
    "reports",
    "say",
    "share_level",
    "warn",
]

OK = 0
FAILED = 1
BAD_INPUT = 2
INTERRUPTED = 130
TERMINATED = 143
NOT_READ = 141
"""Who read our output went away, as ``head`` does: the code of a program that SIGPIPE ends."""


_LEVELS = {"ERROR": -1, "WARNING": 0, "INFO": 1, "DEBUG": 2}
_configured = "INFO"
_SHARED = "_ILAB_LEVEL"
_LONGEST_CELL = 44


def configure(log_level: str) -> None:
    """Say as much as ``general.log_level`` of the config file asks for, unless a flag asks for something else."""
    global _configured
    _configured = log_level


def level() -> int:
    """How much is said on stderr: -1 errors, 0 warnings too, 1 notes too, 2 details too."""
    if _SHARED in os.environ:
        return int(os.environ[_SHARED])
    return -1 if asked("--quiet") else 2 if asked("--verbose") or debugging() else _LEVELS[_configured]


def share_level() -> None:
    """Let the processes that this one starts say as much as this one does."""
    os.environ[_SHARED] = str(level())


def lively(stream: TextIO) -> bool:
    """Whether bars and live views are wanted on a stream: it is a terminal, and nobody asked for quiet."""
    return level() >= 1 and stream.isatty()


def debugging() -> bool:
    """Whether an error of the program itself shows its traceback."""
    return asked("--debug")


def say(text: str) -> None:
    """Print a note for the person at the terminal, unless they want quiet."""
    if level() >= 1:
        _print(text)


def detail(text: str) -> None:
    """Print what only who asks for details wants to see."""
    if level() >= 2:
        _print(text)


def warn(findings: Iterable[Finding | str]) -> None:
    """Print findings or other bad news, however quiet it should be; warnings only if it need not be that quiet."""
    for finding in findings:
        if isinstance(finding, str) or finding.severity == "error" or level() >= 0:
            _print(str(finding))


def judge(findings: Sequence[Finding]) -> None:
    """Print findings that refuse nothing.

    Raises:
        InputError: with all of them, if one is an error.
    """
    from ilab_profiles.diagnostics import InputError

    if any(finding.severity == "error" for finding in findings):
        raise InputError(findings)
    warn(findings)


def _print(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def print_json(data: Any) -> None:
    """Print a result for a program to read."""
    import json

    print(json.dumps(data, indent=2))


def columns(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in plain text, its columns as wide as what stands in them."""
    lines = [head, *rows]
    widths = [max(len(line[at]) for line in lines) for at in range(len(head))]
    return "\n".join(
        "  ".join(f"{cell:{width}}" for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def cell(value: Any) -> str:
    """A value as YAML writes it, cut where it is too long; ``--json`` has all of it."""
    from ilab_profiles.yaml.write import scalar

    text = scalar(value)
    return text if len(text) <= _LONGEST_CELL else f"{text[: _LONGEST_CELL - 1]}…"


def reports(command: Callable[..., None]) -> Callable[..., None]:
    """Turn refused input and interruption of a command into messages and exit codes."""

    @functools.wraps(command)
    def call(*arguments: Any, **options: Any) -> None:
        import typer

        from ilab_profiles.diagnostics import InputError

        try:
            _check_folder()
            command(*arguments, **options)
        except InputError as error:
            warn(error.findings)
            if "--json" in words():  # the same for a program
                print_json({"status": "refused", "findings": [finding.to_dict() for finding in error.findings]})
            raise typer.Exit(BAD_INPUT) from None
        except KeyboardInterrupt:
            say("interrupted")
            raise typer.Exit(INTERRUPTED) from None

    return call


def _check_folder() -> None:
    """Refuse to work in a folder that somebody removed: nothing can be found or written there."""
    from ilab_profiles.diagnostics import Finding, InputError

    try:
        os.getcwd()
    except FileNotFoundError:
        hint = "change to another folder: cd ~"
        finding = Finding("no-working-folder", "the working folder no longer exists", hint=hint)
        raise InputError(finding) from None
