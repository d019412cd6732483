"""``ilab profile init``: a profile of one's own, from the command line or by asking."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ilab_cli import output
from ilab_cli.commands.prompts import ask, confirm, on_terminal
from ilab_cli.flags import completion
from ilab_cli.flags.command import add
from ilab_profiles.catalog import DEFAULT

if TYPE_CHECKING:
    from ilab_profiles import Finding

__all__ = ["add_to"]

SUFFIXES = (".yaml", ".yml", ".json")
GPUS = ("train.gpus", "generate.gpus", "evaluate.gpus")
QUESTIONS = {
    "Folder of the model to start from": ("train.model_path",),
    "Data to train on": ("train.data_path",),
    "GPUs (0-3, 0:3, 1,3)": GPUS,
}
"""What is asked of a new profile, and the settings that an answer gives a value."""


def add_to(group: typer.Typer) -> None:
    """Add the command to its group."""
    add(group, "init", init)


def init(
    file: Annotated[
        str, typer.Argument(help="Name of the new profile, or a file for it (.yaml, .json)", metavar="NAME|FILE")
    ] = "",
    extends: Annotated[
        str,
        typer.Option(
            "--extends", help="Profile that it starts from", metavar="NAME", autocompletion=completion.profiles
        ),
    ] = "",
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="A setting of the new profile; may be repeated",
            metavar="KEY=VALUE",
            autocompletion=completion.keys,
        ),
    ] = None,
) -> None:
    """Create a profile that extends another one; asks for what is missing, on a terminal."""
    from ilab_profiles import InputError

    settings = _read_changes(changes or [])
    if on_terminal():
        _ask_and_write(file, extends, settings)
    elif file and extends:
        _write(file, extends, settings)
    else:
        raise InputError(_missing(file, extends))


def _write(file: str, extends: str, settings: dict[str, str]) -> None:
    from ilab_profiles import edit

    path = _place(file)
    warnings = edit.init(path, _written_from(extends, path.parent), settings)
    output.say(f"wrote {path}")
    output.warn(warnings)
    name = shlex.quote(file)
    output.say(f"use it with --profile {name}, or for every command: ilab config init --profile {name}")


def _read_changes(changes: list[str]) -> dict[str, str]:
    """Settings by key.

    Raises:
        InputError: with every change that is no ``KEY=VALUE``.
    """
    from ilab_profiles import Finding, InputError, Position

    parts = [change.partition("=") for change in changes]
    wrong = [
        Finding("bad-value", f"{key!r} has no value", position=Position("--set"), hint="write --set KEY=VALUE")
        for key, equals, _ in parts
        if not equals
    ]
    if wrong:
        raise InputError(wrong)
    return {key: value for key, _, value in parts}


def _missing(file: str, extends: str) -> list[Finding]:
    from ilab_profiles import Finding

    hint = "use `ilab profile init NAME --extends PROFILE`, or run it on a terminal"
    wanted = {"NAME": (file, "the name of the new profile"), "--extends": (extends, "the profile that it extends")}
    return [
        Finding("missing-argument", f"{name} is missing: {what}", hint=hint)
        for name, (given, what) in wanted.items()
        if not given
    ]


def _place(file: str) -> Path:
    """Where a new profile goes: a plain name into the user's folder, where it is found by this name.

    Raises:
        InputError: if the name is one of a built-in profile, or would lead elsewhere.
    """
    from ilab_profiles import Finding, InputError
    from ilab_profiles.catalog import built_in_files, user_folder

    if file.endswith(SUFFIXES):
        return Path(os.path.expanduser(file))
    name = file.replace("-", "_")
    if name in built_in_files():
        raise InputError(Finding("name-taken", f"{file!r} is a built-in profile", hint="choose another name"))
    parts = name.split("/")
    is_word = name.isprintable() and "\\" not in name
    if not is_word or any(not part or part.startswith((".", "~")) or part != part.strip() for part in parts):
        hint = "use a word such as mine or mine/big; for a file, end it in .yaml"
        raise InputError(Finding("bad-name", f"{file!r} is not a valid profile name", hint=hint))
    return user_folder() / f"{name}.yaml"


def _written_from(profile: str, folder: Path) -> str:
    """The name of a profile as a file in a folder has to write it: paths start from there, not from here."""
    if not profile.endswith(SUFFIXES):
        return profile
    path, start = (os.path.abspath(os.path.expanduser(name)) for name in (profile, folder))
    return os.path.relpath(path, start) if Path(start).is_relative_to(os.getcwd()) else path


# --- asking -----------------------------------------------------------------------------------------------------------


def _ask_and_write(file: str, extends: str, settings: dict[str, str]) -> None:
    """Ask for what is not given, again if the answers are refused; nothing is written before they are accepted."""
    from ilab_profiles import InputError

    if file:
        _check_place(file)
    base = extends or _accepted("Profile to start from", DEFAULT, _check_base, told=_profiles_told())
    name = file or _accepted("Name of the new profile, or a file for it", "", _check_place)
    while True:
        answers = _ask_settings(base, settings)
        try:
            return _write(name, base, settings | answers)
        except InputError as error:
            output.warn(error.findings)
        if not confirm("Answer again?", default=True):
            raise typer.Exit(output.BAD_INPUT)


def _accepted(question: str, default: str, check: Callable[[str], object], told: str = "") -> str:
    """An answer that the check does not refuse."""
    from ilab_profiles import InputError

    output.warn([told] if told else [])
    while True:
        answer = ask(question, default)
        try:
            check(answer)
        except InputError as error:
            output.warn(error.findings)
        else:
            return answer


def _profiles_told() -> str:
    from ilab_cli.flags.table import table

    return output.columns(
        ("PROFILE", "FOR"), [(name, item.description) for name, item in table().profiles.items()], sys.stderr
    )


def _check_base(name: str) -> None:
    from ilab_profiles import load

    load(name)


def _check_place(file: str) -> None:
    from ilab_profiles import Finding, InputError, Position

    path = _place(file)
    if os.path.lexists(path):
        raise InputError(Finding("file-exists", "already exists", position=Position(str(path))))


def _ask_settings(base: str, given: Mapping[str, str]) -> dict[str, str]:
    """Settings for the new profile, where the answer is not what it would have anyway."""
    from ilab_profiles import load
    from ilab_profiles.yaml.write import scalar, to_data, value_in

    data = to_data(load(base))
    needless = {path for path in GPUS if value_in(data, path) == -1}
    if value_in(data, "train.phases"):
        needless.add("train.data_path")  # which would take the place of the phases
    answers: dict[str, str] = {}
    for question, paths in QUESTIONS.items():
        value = value_in(data, paths[0])
        if paths[0] in needless or not {key.replace("-", "_") for key in given}.isdisjoint(paths):
            continue
        now = "" if value is None else value if isinstance(value, str) else scalar(value)
        answer = ask(question, now)
        answers |= dict.fromkeys(paths, answer) if answer != now else {}
    return answers
