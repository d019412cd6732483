"""``ilab profile set``: one setting changed in config.yaml or in a profile of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ilab_cli import completion, output
from ilab_cli.options import add

__all__ = ["add_to"]


def add_to(group: typer.Typer) -> None:
    """Add the command to its group."""
    add(group, "set", set_, context_settings={"ignore_unknown_options": True})  # for values such as -1


def _values(incomplete: str) -> list[str]:
    """The values that the setting named before takes, if they can be told."""
    from ilab_cli.words import words

    return [value for word in words()[2:] for value in completion.values_of(word, incomplete)]


def set_(
    key: Annotated[
        str,
        typer.Argument(help="Setting, such as train.num_epochs", metavar="KEY", autocompletion=completion.keys_to_set),
    ],
    value: Annotated[
        str, typer.Argument(help="Its new value, as YAML writes it", metavar="VALUE", autocompletion=_values)
    ],
    profile: Annotated[
        str,
        typer.Option(
            "--profile",
            help="Profile of your own, in place of config.yaml",
            metavar="NAME|FILE",
            autocompletion=completion.profiles,
        ),
    ] = "",
) -> None:
    """Change one setting in place.

    Only if the file is sound as a whole afterwards; comments stay.
    """
    from ilab_cli.settings import existing_config
    from ilab_profiles import Finding, InputError, Position, edit

    if value.startswith("--"):
        raise InputError(Finding("unknown-flag", "there is no such flag", position=Position(value)))
    path = _own(profile) if profile else existing_config()
    edit.set_value(path, key, value)
    output.say(f"set {key} in {path}")


def _own(profile: str) -> Path:
    """The file of a profile that is not one of those that ship with the program.

    Raises:
        InputError: if there is none, or it ships with the program.
    """
    from ilab_profiles import Finding, InputError
    from ilab_profiles.catalog import built_in_folder, find

    path = find(profile)
    if path.resolve().is_relative_to(built_in_folder().resolve()):
        message = f"{profile} ships with the program, and is left as it is"
        hint = f"make one of your own: ilab profile init NAME --extends {profile} --set KEY=VALUE"
        raise InputError(Finding("built-in-profile", message, hint=hint))
    return path
