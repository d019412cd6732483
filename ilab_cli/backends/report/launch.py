"""From run folders to the page in its file. Loads nothing heavy before it is called."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ilab_cli.extras import missing_extra
from ilab_profiles import Finding, InputError, Position

__all__ = ["NAME", "Report", "write"]

NAME = "report.html"
"""Name of the page where none is given."""
_BEGINNING = 4096


@dataclass(frozen=True)
class Report:
    """A page that was written.

    Attributes:
        file: where it is.
        size: how large it is, in bytes.
        runs: the folders of the runs that it tells of.
        left_out: what had no room on it, a sentence for each table.
        findings: warnings about files that could not be read whole.
    """

    file: Path
    size: int
    runs: list[str]
    left_out: list[str]
    findings: list[Finding]


def write(paths: Sequence[Path], output: Path | None, holder: Callable[[Path], str]) -> Report:
    """Make one page about all runs, and write it.

    Args:
        paths: the run folders.
        output: the file; by default ``report.html``, in the run folder of a single run, else in the working folder.
        holder: says who works in a folder at this moment; empty if nobody does.

    Raises:
        InputError: if a folder holds no run, something is not installed, or the file cannot be written or is not a
            page of ours; nothing is written then.
    """
    if missing := missing_extra("report", "ilab report"):
        raise InputError(missing)
    from ilab_cli.backends.report.folders import read_runs
    from ilab_cli.backends.report.page import page
    from ilab_profiles.yaml.files import make_folder, write_atomically

    runs = read_runs(paths, holder)
    file = output or (runs[0].folder / NAME if len(runs) == 1 else Path(NAME))
    _check(file)
    text, left_out = page(runs)
    make_folder(file)
    write_atomically(file, text)
    findings = [finding for run in runs for finding in run.findings]
    return Report(file, len(text.encode()), [str(run.folder) for run in runs], left_out, findings)


def _check(file: Path) -> None:
    """Refuse to replace what is not a page of ours.

    Raises:
        InputError: then.
    """
    from ilab_cli.backends.report.page import GENERATOR

    if file.is_dir():
        message, hint = "it is a folder, not a file", f"name a file in it: --output {file / NAME}"
        raise InputError(Finding("unwritable-file", message, position=Position(str(file)), hint=hint))
    try:
        with file.open("rb") as stream:
            begin = stream.read(_BEGINNING)
    except OSError:
        return  # it is not there, or it will be told when it is written
    if begin.strip() and f'content="{GENERATOR}'.encode() not in begin:
        message, hint = "it is there, and is no page that ilab report wrote", "choose another file with --output"
        raise InputError(Finding("file-exists", message, position=Position(str(file)), hint=hint))
