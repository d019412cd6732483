"""How the program speaks: results to stdout, everything else to stderr, findings as text, and the exit codes."""

from __future__ import annotations

import functools
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, TextIO

from ilab_cli import style
from ilab_cli.command_line import asked, words

if TYPE_CHECKING:
    from ilab_profiles import Finding

__all__ = [
    "BAD_INPUT",
    "FAILED",
    "INTERRUPTED",
    "NOT_READ",
    "OK",
    "TERMINATED",
    "UNFINISHED",
    "cell",
    "columns",
    "configure",
    "debugging",
    "detail",
    "file_problem",
    "judge",
    "level",
    "lively",
    "print_json",
    "reports",
    "say",
    "shared_level",
    "warn",
]

OK = 0
FAILED = 1
BAD_INPUT = 2
INTERRUPTED = 130
TERMINATED = 143
UNFINISHED = 75
"""A training saved a checkpoint and ended early, at SIGUSR1 or its deadline: EX_TEMPFAIL of sysexits.h, try again."""
NOT_READ = 141
"""Who read our output went away, as ``head`` does: the code of a program that SIGPIPE ends."""


_LEVELS = {"ERROR": -1, "WARNING": 0, "INFO": 1, "DEBUG": 2}
_configured = "INFO"
_SHARED = "_ILAB_LEVEL"
_FOR_SENTENCES = 24
_INDENT = 2


def configure(log_level: str) -> None:
    """Say as much as ``general.log_level`` of the config file asks for, unless a flag asks for something else."""
    global _configured
    _configured = log_level


def level() -> int:
    """How much is said on stderr: -1 errors, 0 warnings too, 1 notes too, 2 details too."""
    if _SHARED in os.environ:
        return int(os.environ[_SHARED])
    return -1 if asked("--quiet") else 2 if asked("--verbose") or debugging() else _LEVELS[_configured]


@contextmanager
def shared_level() -> Iterator[None]:
    """Let the processes that this one starts during a block say as much as this one does."""
    before = os.environ.get(_SHARED)
    os.environ[_SHARED] = str(level())
    try:
        yield
    finally:
        del os.environ[_SHARED]
        if before is not None:
            os.environ[_SHARED] = before


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
    print(style.finding(text, sys.stderr), file=sys.stderr, flush=True)


def print_json(data: Any) -> None:
    """Print a result for a program to read."""
    import json

    print(json.dumps(data, indent=2))


def columns(
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    stream: TextIO | None = None,
    *,
    spare: Sequence[str] = (),
) -> str:
    """A table in plain text; on a terminal that it is too wide for, cells are wrapped between words.

    Args:
        head: the first line.
        rows: the others.
        stream: where it goes; stdout if not given.
        spare: columns that are left out, the first one first, where wrapping does not make room enough.
    """
    stream = stream or sys.stdout
    lines = [list(head), *map(list, rows)]
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    if stream.isatty() or "COLUMNS" in os.environ:
        room = shutil.get_terminal_size().columns
        lines = _with_room(lines, room, spare)
        widths = _narrowed(lines, room)
    first, *rest = ("\n".join(_wrapped(line, widths)) for line in lines)
    return "\n".join([style.heading(first, stream) if first.strip() else first, *rest])


def _with_room(lines: list[list[str]], room: int, spare: Sequence[str]) -> list[list[str]]:
    """The rows without as many of the columns that can be spared as it takes."""
    for name in spare:
        if sum(_least(lines)) + 2 * (len(lines[0]) - 1) <= room:
            break
        at = lines[0].index(name)
        lines = [[cell for number, cell in enumerate(line) if number != at] for line in lines]
    return lines


def _least(lines: Sequence[Sequence[str]]) -> list[int]:
    """The width of each column that its longest word needs, where it is wrapped too; the last one is for sentences."""
    least = [
        max(len(word) + _INDENT * (number > 0) for cell in cells for number, word in enumerate(cell.split() or [""]))
        for cells in zip(*lines, strict=True)
    ]
    return [*least[:-1], max(least[-1], _FOR_SENTENCES)]


def _narrowed(lines: Sequence[Sequence[str]], room: int) -> list[int]:
    """The widths of columns, the widest ones narrowed until there is room, or no word can be wrapped any more."""
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    least = _least(lines)
    while sum(widths) + 2 * (len(widths) - 1) > room:
        wide = max(range(len(widths)), key=lambda at: widths[at] - least[at])
        if widths[wide] <= least[wide]:
            break
        widths[wide] -= 1
    return widths


def _wrapped(line: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    """One row of a table, as many lines as its longest cell needs; words are not cut, whatever their length."""
    import textwrap

    cells = [
        [text]
        if len(text) <= width
        else textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False, subsequent_indent=" " * _INDENT)
        for text, width in zip(line, widths, strict=True)
    ]
    for parts in zip_longest(*cells, fillvalue=""):
        yield "  ".join(f"{part:{width}}" for part, width in zip(parts, widths, strict=True)).rstrip()


def cell(value: Any) -> str:
    """A value as YAML writes it."""
    from ilab_profiles.yaml.write import scalar

    return scalar(value)


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
        except BrokenPipeError:
            raise
        except OSError as error:
            if debugging():
                raise
            warn([file_problem(error)])
            raise typer.Exit(BAD_INPUT if error.filename else FAILED) from None
        except KeyboardInterrupt:
            say("interrupted")
            raise typer.Exit(INTERRUPTED) from None

    return call


def file_problem(error: OSError) -> Finding:
    """What the system refuses to do with a file, as a finding; what we expect it to refuse is told better elsewhere."""
    from ilab_profiles.diagnostics import Finding, Position

    reason = error.strerror or str(error)
    if not error.filename:  # a stream of ours, such as standard output on a full disk
        return Finding("unusable-file", f"the output cannot be written: {reason}")
    return Finding("unusable-file", f"cannot be used: {reason}", position=Position(str(error.filename)))


def _check_folder() -> None:
    """Refuse to work in a folder that somebody removed: nothing can be found or written there."""
    from ilab_profiles.diagnostics import Finding, InputError

    try:
        os.getcwd()
    except FileNotFoundError:
        hint = "change to another folder: cd ~"
        finding = Finding("no-working-folder", "the working folder no longer exists", hint=hint)
        raise InputError(finding) from None
