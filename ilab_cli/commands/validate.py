"""Checking files of settings: which files are meant, what is wrong with them, and how that is told.

The findings are the result, so they go to stdout in every format; what was fixed, and that all is well, to stderr.
"""

from __future__ import annotations

import glob
import os
import re
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ilab_cli import output, style
from ilab_cli.session import existing_config, in_force
from ilab_profiles.diagnostics import counted

if TYPE_CHECKING:
    from ilab_profiles import Finding

__all__ = ["FixOption", "FormatOption", "StrictOption", "UnsafeOption", "findings_in", "validate", "validate_config"]

Format = Literal["text", "json", "sarif", "github"]
FormatOption = Annotated[Format, typer.Option("--format", help="Format of the findings")]
FixOption = Annotated[bool, typer.Option("--fix", help="Apply the known fixes, in place")]
UnsafeOption = Annotated[
    bool, typer.Option("--unsafe-fixes", help="As --fix, and where a fix is contrary to what the file says, take it")
]
StrictOption = Annotated[bool, typer.Option("--strict", help="Treat warnings as errors")]

STDIN = "-"
_SUFFIXES = (".yaml", ".yml", ".json")
_OURS = re.compile(r"""(  |\t|\{ ?)?["']?(extends|profile|train|generate|evaluate|chat|serve|general)["']?\s*:(\s|$)""")


def validate(targets: Sequence[str], form: Format, *, fix: bool, unsafe: bool, strict: bool) -> None:
    """Check everything that is meant, and tell all findings at once.

    Args:
        targets: files, names of profiles, patterns, folders, or ``-``; the settings in force if there are none.
        form: the format of the report.
        fix: whether to mend files in place first.
        unsafe: whether to do that, too, where it is contrary to what the file says.
        strict: whether warnings refuse too.

    Raises:
        typer.Exit: with 2, if anything is refused.
    """
    fix = fix or unsafe
    names, findings = _expand(targets)
    for name in names:
        findings += _mended(name, unsafe=unsafe) if fix else _findings_of(name)
    if not targets:
        findings.extend(_cannot_fix("the settings in force", "name a file") if fix else _in_force())
    about = f"{len(names)} files" if len(names) > 1 else names[0] if names else "the settings in force"
    _publish(findings, form, strict=strict, about=about)


def validate_config(file: Path | None, form: Format, *, fix: bool, unsafe: bool, strict: bool) -> None:
    """The same for one file that is surely a ``config.yaml``, by default the one in force.

    Raises:
        typer.Exit: with 2, if it is refused.
    """
    from ilab_profiles import InputError
    from ilab_profiles.yaml.files import read_bytes

    try:
        file = file or existing_config()
        refused = _fix(file, unsafe=unsafe) if fix or unsafe else ()
        found = _joined(findings_in(read_bytes(file), file, is_config=True), refused)
    except InputError as error:
        found = [*error.findings]
    _publish(found, form, strict=strict, about=str(file))


def _publish(findings: Iterable[Finding], form: Format, *, strict: bool, about: str) -> None:
    """Print the report.

    Raises:
        typer.Exit: with 2, if there are errors, or, where that is strict, warnings.
    """
    from ilab_profiles.views.reports import report

    once = list(dict.fromkeys(findings))  # what several profiles extend is told once
    if text := report(once, form):
        print(style.finding(text, sys.stdout) if form == "text" else text)
    _say_if_older(once)
    if any(strict or finding.severity == "error" for finding in once):
        raise typer.Exit(output.BAD_INPUT)
    output.say(f"{about}: valid")


def _say_if_older(findings: Iterable[Finding]) -> None:
    """Say what to do with files of the older program, which are full of unknown keys."""
    from ilab_profiles import InputError

    unknown = (finding.position.source for finding in findings if finding.rule == "unknown-key" and finding.position)
    for name in filter(os.path.isfile, dict.fromkeys(unknown)):
        from ilab_profiles.migration.migrate import migrate

        with suppress(InputError):
            migrate(Path(name))
            output.say(f"{name} is a file of the older ilab: convert it with `ilab config migrate {shlex.quote(name)}`")


# --- what is meant ----------------------------------------------------------------------------------------------------


def _expand(targets: Sequence[str]) -> tuple[list[str], list[Finding]]:
    """Names and files in the order given, each once; and a finding for each target that means none."""
    from ilab_profiles import Finding, Position

    found: dict[str, None] = {}
    findings = []
    for target in targets:
        meant = list(_meant(target))
        found.update(dict.fromkeys(meant))
        if not meant:
            is_file = os.path.isfile(target)
            message = "must end in .yaml, .yml or .json" if is_file else "no YAML or JSON file found"
            findings.append(Finding("no-such-file", message, position=Position(target)))
    return list(found), findings


def _meant(target: str) -> Iterator[str]:
    if os.path.isdir(target) and not _is_name(target):
        below = os.path.join(glob.escape(target), "**", "*")
        files = sorted(path for suffix in _SUFFIXES for path in glob.glob(below + suffix, recursive=True))
        ours = [path for path in files if _has_settings(path)]
        if others := len(files) - len(ours):
            output.say(f"{target}: left out {counted(others, 'files')} without settings of ilab")
        yield from ours
    elif glob.has_magic(target) and not os.path.lexists(target):
        for path in sorted(glob.glob(target, recursive=True)):
            yield from _meant(path)
    elif not os.path.isfile(target) or target.endswith(_SUFFIXES) or _is_name(target):
        yield target


def _has_settings(path: str) -> bool:
    """Whether a file looks like one of settings: by a section, or ``extends``, at its top level, or by its schema."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return any(_OURS.match(line) for line in file)
    except OSError:
        return True  # it is told why it cannot be read


def _is_name(target: str) -> bool:
    from ilab_profiles import names

    return target.replace("-", "_") in names()


# --- what is wrong ----------------------------------------------------------------------------------------------------


def _findings_of(name: str) -> Iterable[Finding]:
    """What is wrong with a profile or a file of settings, by name or path; ``-`` stands for standard input."""
    from ilab_profiles import Position, check

    if name == STDIN:
        return findings_in(sys.stdin.buffer.read(), Path("<stdin>")) if sys.stdin else [_closed()]
    return [replace(finding, position=finding.position or Position(name)) for finding in check(name)]


def _closed() -> Finding:
    from ilab_profiles import Finding, Position

    return Finding("unreadable-file", "cannot be read: it is closed", position=Position("<stdin>"))


def findings_in(raw: bytes, file: Path, *, is_config: bool = False) -> Iterable[Finding]:
    """What is wrong with text, as if it stood in a file; the text itself says what kind of file, unless that is told.

    Args:
        raw: the text.
        file: where it stands, for what it extends.
        is_config: whether it is surely a ``config.yaml``.
    """
    from ilab_profiles.loading.config_file import config_layers, layers_of
    from ilab_profiles.loading.merge import Effective, merge
    from ilab_profiles.loading.sources import findings_of
    from ilab_profiles.yaml.read import parse

    def settle() -> Effective:
        document = parse(raw, str(file))
        return merge(config_layers(document, file) if is_config else layers_of(document, file))

    return findings_of(settle)


def _in_force() -> Iterable[Finding]:
    from ilab_profiles.loading.sources import findings_of

    return findings_of(in_force)


# --- mending ----------------------------------------------------------------------------------------------------------


def _mended(name: str, *, unsafe: bool) -> Iterable[Finding]:
    """What is still wrong with a file after its fixes; a profile that ships with the program is only checked."""
    from ilab_profiles import InputError
    from ilab_profiles.catalog import built_in_name, find

    if name == STDIN:
        return _cannot_fix("standard input", "name a file")
    try:
        path = find(name)
    except InputError as error:
        return error.findings
    refused = () if built_in_name(path) else _fix(path, unsafe=unsafe)
    return _joined(_findings_of(name), refused)


def _fix(path: Path, *, unsafe: bool) -> Sequence[Finding]:
    """Mend a file, say what was fixed, and return what could not be."""
    from ilab_profiles import InputError, edit

    try:
        mended = edit.fix(path, unsafe=unsafe)
    except InputError as error:
        for note in getattr(error, "__notes__", ()):
            output.say(f"{path}: {note}")
        return error.findings
    for finding in mended:
        output.say(f"{path}: fixed [{finding.rule}]: {', '.join(f'{key}: {value}' for key, value in finding.fix)}")
    return ()


def _joined(left: Iterable[Finding], refused: Sequence[Finding]) -> list[Finding]:
    """What is wrong with a file, and why it could not be mended, if that is something else."""
    remaining = list(left)
    known = {finding.rule for finding in remaining}
    return [*remaining, *(finding for finding in refused if finding.rule not in known)]


def _cannot_fix(what: str, hint: str) -> list[Finding]:
    from ilab_profiles import Finding

    return [Finding("cannot-fix", f"cannot fix {what} in place", hint=hint)]
