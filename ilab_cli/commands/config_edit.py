"""``ilab config edit``: config.yaml in the editor of the user's choice, replaced only by what is sound."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

import typer

from ilab_cli import output
from ilab_cli.commands.prompts import confirm, on_terminal
from ilab_cli.commands.validate import findings_in
from ilab_cli.flags.command import add
from ilab_cli.session import existing_config

__all__ = ["add_to"]


def add_to(group: typer.Typer) -> None:
    """Add the command to its group."""
    add(group, "edit", edit)


def edit() -> None:
    """Edit config.yaml in $VISUAL or $EDITOR; only a valid result is saved."""
    from ilab_profiles.yaml.files import exclusive, read_bytes, replace

    path = existing_config()
    editor = _editor()
    old = read_bytes(path)
    copy = _copy(path, old)
    try:
        if (new := _edited(editor, copy, path)) == old:
            output.say(f"{path} is unchanged")
        else:
            with exclusive(path):
                replace(path, new, expected=old)
            output.say(f"wrote {path}")
    except BaseException:
        if copy.is_file() and copy.read_bytes() != old:
            output.warn([f"{path} is unchanged; your text is in {copy}"])
        else:
            with suppress(OSError):
                copy.unlink()
        raise
    copy.unlink()


def _editor() -> list[str]:
    """The command that edits.

    Raises:
        InputError: if there is none, or nobody to use it.
    """
    from ilab_profiles import Finding, InputError

    findings = []
    try:
        words = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "")
    except ValueError:  # a quote that is never closed
        words = []
    if not words:
        hint = "set one: export EDITOR=nano"
        findings.append(Finding("no-editor", "no editor is set in $VISUAL or $EDITOR", hint=hint))
    if not on_terminal():
        hint = "change single settings with `ilab profile set KEY VALUE`"
        findings.append(Finding("no-terminal", "editing needs a terminal", hint=hint))
    if findings:
        raise InputError(findings)
    return words


def _copy(path: Path, content: bytes) -> Path:
    """A copy beside the file, which nobody else may read."""
    from ilab_profiles import Finding, InputError, Position

    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f"{path.stem}.", suffix=".edit.yaml")
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
    except OSError as error:
        message = f"cannot make a copy to edit: {error.strerror}"
        raise InputError(Finding("unwritable-file", message, position=Position(str(path)))) from None
    return Path(name)


def _edited(editor: list[str], copy: Path, path: Path) -> bytes:
    """What the user made of the copy, valid or as it was.

    Raises:
        InputError: if the editor failed, or the user gave up.
    """
    from ilab_profiles import Finding, InputError
    from ilab_profiles.yaml.files import read_bytes

    old = read_bytes(copy)
    while True:
        if failure := _run([*editor, str(copy)]):
            raise InputError(Finding("editor-failed", f"{editor[0]}: {failure}"))
        new = read_bytes(copy)
        findings = [] if new == old else list(findings_in(new, path, is_config=True))
        output.warn(findings)
        if all(finding.severity != "error" for finding in findings):
            return new
        if not confirm("Back to the editor?", default=True):
            raise typer.Exit(output.BAD_INPUT)


def _run(command: list[str]) -> str:
    """Run the editor; Ctrl-C is for it alone. Returns why it failed, if it did."""
    try:
        process = subprocess.Popen(command)
    except OSError as error:
        return error.strerror or str(error)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        code = process.wait()
    finally:
        signal.signal(signal.SIGINT, before)
    return f"ended with {code}" if code else ""
