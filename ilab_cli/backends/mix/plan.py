"""What a mix will take from where: every data set read once and checked, before anything is written."""

from __future__ import annotations

import stat
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from tqdm import tqdm

from ilab_cli.backends.jsonl import MOST_FINDINGS, Chunk, chunks
from ilab_cli.backends.mix.recipes import DataSet, read_recipes
from ilab_cli.backends.mix.rows import Checked, check
from ilab_cli.backends.mix.sampling import rows_taken
from ilab_cli.backends.processes import processes
from ilab_cli.output import lively
from ilab_profiles import Finding, Generate, InputError, Position

__all__ = ["MEMORY", "Parts", "MixPlan", "Share", "make_plan"]

MEMORY = 48 * 2**20
"""Bytes of rows that all processes together hold at a time; no result depends on it."""

Parts = tuple[tuple[Chunk, int], ...]
"""The chunks of a file, each with the number of its rows."""

_SMALLEST_CHUNK = 2**20
_NOT_TEXT = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "Zstandard",
    b"PK\x03\x04": "zip",
    b"PAR1": "Parquet",
    b"ARROW1": "Arrow",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
"""What files begin with that are often named in place of JSONL files, and what they are."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file as it was when it was looked at, so that a change shows."""

    file: Path
    size: int
    changed: int


@dataclass(frozen=True, slots=True)
class Share:
    """What a mix takes from one data set.

    Args:
        data_set: the data set.
        parts: its chunks.
        rows: number of all its rows.
        size: its bytes.
        taken: rows that are taken, repeated ones counted as often.
    """

    data_set: DataSet
    parts: Parts
    rows: int
    size: int
    taken: int

    @property
    def size_taken(self) -> int:
        """Bytes that are taken, about."""
        return self.size * self.taken // self.rows


@dataclass(frozen=True, slots=True)
class MixPlan:
    """All that a mix takes, in the order of the recipes, and what there is to say about it."""

    shares: tuple[Share, ...]
    findings: tuple[Finding, ...]


def make_plan(generate: Generate, to_be_made: Collection[str] = ()) -> MixPlan:
    """Read the recipes and check every row of every data set. Writes nothing.

    Args:
        generate: the settings.
        to_be_made: recipes and data sets, by their real paths, that are not there yet: the plan is without them.

    Raises:
        InputError: with all that is wrong with them.
    """
    data_sets, findings = read_recipes(generate.mix, to_be_made)
    missing = {data_set: list(_unusable(data_set)) for data_set in data_sets}
    sources = dict.fromkeys(_source(data_set.file) for data_set, reasons in missing.items() if not reasons)
    parts, wrong = _examine(tuple(sources), generate.mix.num_util_proc)
    findings += [*(finding for reasons in missing.values() for finding in reasons), *wrong]
    if any(finding.severity == "error" for finding in findings):
        raise InputError(findings)
    sizes = {source.file: source.size for source in sources}
    return MixPlan(tuple(_share(data_set, parts, sizes) for data_set in data_sets), tuple(findings))


def _share(data_set: DataSet, parts: Mapping[Path, Parts], sizes: Mapping[Path, int]) -> Share:
    file = data_set.file.resolve()
    rows = sum(count for _, count in parts[file])
    return Share(data_set, parts[file], rows, sizes[file], rows_taken(data_set.sampling_size, rows))


def _unusable(data_set: DataSet) -> Iterator[Finding]:
    hint = f"paths are relative to the recipe: {data_set.file}"
    try:
        mode = data_set.file.stat().st_mode
        reason = "" if stat.S_ISREG(mode) else "it is a folder" if stat.S_ISDIR(mode) else "it is not a regular file"
        if reason:
            hint = "name JSONL files, each as a data set of its own"
        elif form := _form(data_set.file):
            reason, hint = f"it is {form}", "name a JSONL file: UTF-8 text with a conversation on each line"
    except OSError as error:
        reason = error.strerror or str(error)
    if reason:
        message = f"data set {data_set.path} cannot be read: {reason}"
        yield Finding("data-not-found", message, data_set.setting, data_set.position, hint=hint)


def _form(file: Path) -> str:
    """What a file is by its first bytes, if it is no text that could hold rows."""
    with file.open("rb") as stream:
        head = stream.read(8)
    return next((form for mark, form in _NOT_TEXT.items() if head.startswith(mark)), "")


def _source(file: Path) -> Source:
    status = file.stat()
    return Source(file.resolve(), status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=1)  # the check before a run and the run itself ask for the same
def _examine(sources: tuple[Source, ...], workers: int) -> tuple[dict[Path, Parts], list[Finding]]:
    """Check all rows of all files.

    Returns:
        for each file its chunks, and what is wrong with its rows.
    """
    size = max(MEMORY // 3 // workers, _SMALLEST_CHUNK)  # text, lines and what is made of them
    cut = {source.file: list(chunks(source.file, source.size, size)) for source in sources}
    tasks = [chunk for pieces in cut.values() for chunk in pieces]
    found: dict[Path, Parts] = {}
    findings: list[Finding] = []
    total = sum(source.size for source in sources)
    with (
        processes(min(workers, len(tasks))) as apply,
        tqdm(total=total, unit="B", unit_scale=True, desc="check", leave=False, disable=not lively(sys.stderr)) as bar,
    ):
        results = apply(check, tasks)
        for file, pieces in cut.items():
            checked = []
            for chunk in pieces:
                checked.append(next(results))
                bar.update(chunk.end - chunk.start)
            findings += _findings(file, checked)
            found[file] = tuple((chunk, one.rows) for chunk, one in zip(pieces, checked, strict=True))
    return found, findings


def _findings(file: Path, checked: Sequence[Checked]) -> list[Finding]:
    """What is wrong with a file, at the lines of the file."""
    found: list[Finding] = []
    line = 0
    for one in checked:
        for finding in one.findings:
            if finding.position is not None:
                place = replace(finding.position, line=finding.position.line + line)
                found.append(replace(finding, position=place))
        line += one.lines
    bad = sum(one.bad for one in checked)
    if not any(one.rows for one in checked):
        found.append(Finding("data-empty", "no conversation in it", position=Position(str(file))))
    del found[MOST_FINDINGS:]
    if bad > len({finding.position for finding in found}):
        message = f"{bad} lines in all cannot be used; the first findings are shown"
        found.append(Finding("data-line", message, position=Position(str(file))))
    return found
