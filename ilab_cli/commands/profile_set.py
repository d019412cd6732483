"""``ilab profile set``: one setting changed in config.yaml or in a profile of one's own."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from ilab_cli import output
from ilab_cli.flags import completion
from ilab_cli.flags.command import add
from ilab_cli.session import existing_config

__all__ = ["add_to", "file_of_profile", "own_profile"]


def add_to(group: typer.Typer) -> None:
    """Add the command to its group."""
    add(group, "set", set_, cls=_Set, context_settings={"ignore_unknown_options": True})


class _Set(TyperCommand):
    """The command ``set``: a value such as -1 is no flag, but what begins with ``--`` is one, up to a lone ``--``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        known = {option for param in self.get_params(ctx) for option in param.opts}
        words = args[: args.index("--")] if "--" in args else args
        unknown = [word for word in words if word.startswith("--") and word.partition("=")[0] not in known]
        if unknown and not ctx.resilient_parsing:
            ctx.ignore_unknown_options = False
            args = unknown  # which says that there is no such flag, and names the nearest
        return super().parse_args(ctx, args)


def _values(incomplete: str) -> list[str]:
    """The values that the setting named before takes, if they can be told."""
    from ilab_cli.command_line import words

    return [value for word in words()[2:] for value in completion.values_of(word, incomplete)]


def set_(
    key: Annotated[
        str,
        typer.Argument(help="Setting, such as train.num_epochs", metavar="KEY", autocompletion=completion.keys_to_set),
    ],
    value: Annotated[str, typer.Argument(help="Its new value, in YAML", metavar="VALUE", autocompletion=_values)],
    profile: Annotated[
        str,
        typer.Option(
            "--profile",
            help="Your own profile, instead of the one in force",
            metavar="NAME|FILE",
            autocompletion=completion.profiles,
        ),
    ] = "",
) -> None:
    """Change one setting in config.yaml or in your own profile; comments are kept."""
    from ilab_profiles import edit

    path = own_profile(profile) if profile else file_of_profile(key)
    other = "" if profile else _in_its_place(path, key)
    warnings = edit.set_value(path, key, value)
    output.say(f"set {key} in {path}")
    output.warn(warnings)
    if other:
        output.warn([f"this file is not in force: ILAB_PROFILE is set to {other}"])


def own_profile(profile: str, settings: str = "--set KEY=VALUE") -> Path:
    """The file of a profile that is not one of those that ship with the program.

    Args:
        profile: its name, or its file.
        settings: what a profile of one's own would set, as flags, for the hint.

    Raises:
        InputError: if there is none, or it ships with the program.
    """
    from ilab_profiles import Finding, InputError
    from ilab_profiles.catalog import built_in_name, find

    path = find(profile)
    if built_in_name(path):
        message = f"{profile} is built in and cannot be changed"
        hint = f"create your own: ilab profile init NAME --extends {shlex.quote(profile)} {settings}"
        raise InputError(Finding("built-in-profile", message, hint=hint))
    return path


def file_of_profile(key: str) -> Path:
    """The file that holds a setting of the profile in force: a profile of the user's own, else config.yaml.

    Raises:
        InputError: if there is no config.yaml, or it cannot be read, or it names a profile that is not there.
    """
    from ilab_profiles.catalog import built_in_name, find
    from ilab_profiles.yaml.read import read

    config = existing_config()
    document = read(config)
    name = document.data.get("profile")
    if _is_of_config(key) or not isinstance(name, str):
        return config
    place = document.position(("profile",))
    path = find(name, beside=config.parent, asked_at=(place, document.line(place.line)))
    return config if built_in_name(path) else path


def _in_its_place(path: Path, key: str) -> str:
    """The profile that the environment chooses in place of the one in this file, if it does.

    Raises:
        InputError: if there is no such profile.
    """
    from ilab_profiles import Position
    from ilab_profiles.catalog import find, real

    other = os.environ.get("ILAB_PROFILE", "")
    if not other or _is_of_config(key):
        return ""
    return "" if real(find(other, asked_at=(Position("ILAB_PROFILE"), ""))) == real(path) else other


def _is_of_config(key: str) -> bool:
    """Whether a setting stands in config.yaml beside the profile, or chooses it."""
    from ilab_profiles.catalog import BESIDE_PROFILE

    return not key.startswith("profile.") and key.partition(".")[0] in BESIDE_PROFILE
