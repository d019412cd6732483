"""``ilab config``: its commands, and those that write, show and check the file that chooses the profile."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ilab_cli import output
from ilab_cli.commands import config_edit, config_migrate
from ilab_cli.commands import validate as checking
from ilab_cli.commands.prompts import ask, confirm, on_terminal
from ilab_cli.flags import completion
from ilab_cli.flags.command import add
from ilab_cli.session import chosen, in_force, in_words, origin_of
from ilab_profiles.catalog import DEFAULT, config_file, config_path

if TYPE_CHECKING:
    from ilab_profiles.matching import Offer

__all__ = ["add_to"]


def add_to(group: typer.Typer) -> None:
    """Add the commands to their group."""
    add(group, "init", init)
    add(group, "show", show)
    config_edit.add_to(group)
    add(group, "validate", validate)
    config_migrate.add_to(group)


# --- init -------------------------------------------------------------------------------------------------------------


def init(
    profile: Annotated[
        str | None,
        typer.Option("--profile", help="Name or path of a profile", metavar="NAME", autocompletion=completion.profiles),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a config file without asking")] = False,
) -> None:
    """Write a config.yaml that chooses a profile: the one you name or pick on a terminal, else cpu_only."""
    from ilab_profiles.edit import put_schemas, render_config
    from ilab_profiles.yaml.files import make_folder, write_atomically

    path = config_path()
    if profile is None and on_terminal() and not force:
        if os.path.exists(path):
            _ask_to_overwrite(path)
            force = True
        profile = _pick()
    if profile is None:
        profile = DEFAULT
        if (best := _offer()).profile != profile:
            output.say(f"took {profile}, as no profile was named; for this machine there is {best.profile}: {best.why}")
    file = os.path.expanduser(profile)
    is_elsewhere = path.parent.resolve() != Path.cwd() and os.path.isfile(file)
    text = render_config(os.path.abspath(file) if is_elsewhere else profile)
    if os.path.exists(path) and not force:
        _ask_to_overwrite(path)
    make_folder(path)
    write_atomically(path, text)
    put_schemas(path.parent)
    output.say(f"wrote {path}")
    output.say("next: ilab data generate, ilab model train or ilab model evaluate; each tells its settings with --help")


def _pick() -> str:
    """The profile that the person picks, of a table with the one that suits this machine first."""
    from ilab_cli.flags.table import table
    from ilab_profiles import InputError
    from ilab_profiles.catalog import find

    best = _offer()
    known = {name: item.description for name, item in table().profiles.items()}
    mark = "made for exactly this machine" if best.exact else "the nearest to this machine"
    rows = [(best.profile, f"{known.pop(best.profile)} ({mark})"), *known.items()]
    output.warn([output.columns(("PROFILE", "FOR"), rows, sys.stderr), f"{best.profile}: {best.why}"])
    while True:
        name = ask("Profile", best.profile)
        try:
            find(name)
        except InputError as error:
            output.warn(error.findings)
        else:
            return name


def _offer() -> Offer:
    from ilab_profiles.hardware.machine import here
    from ilab_profiles.matching import offer

    return offer(here())


def _ask_to_overwrite(path: Path) -> None:
    from ilab_profiles import Finding, InputError, Position

    if not on_terminal() or not confirm(f"{path} exists. Overwrite it?", default=False):
        place = Position(str(path))
        raise InputError(Finding("file-exists", "already exists", position=place, hint="overwrite it with --force"))


# --- show -------------------------------------------------------------------------------------------------------------


def show(as_json: Annotated[bool, typer.Option("--json", help="Print JSON")] = False) -> None:
    """Print all settings in force and where each comes from; secrets are masked."""
    from ilab_profiles.loading.config_file import config_settings
    from ilab_profiles.models.paths import fields
    from ilab_profiles.yaml.write import dump, to_data

    effective = in_force()
    config, given = config_settings()
    data = to_data(config) | {"profile": to_data(effective.profile)}
    origins = {path: str(setting.position()) for path, setting in given.items() if path != "profile"}
    origins |= {f"profile.{path}": origin for path in fields() if (origin := origin_of(effective, path))}
    held, source = chosen()
    name = in_words(held)
    if as_json:
        file = config_file()
        chosen_by = {"name": name, "from": source}
        output.print_json({"file": file and str(file), "chosen": chosen_by, "settings": data, "origins": origins})
    else:
        print(f"# In force: {name}, chosen by {source}. Values without a comment are defaults.")
        print(dump(data, lambda path: origins.get(path, "")), end="")


# --- validate ---------------------------------------------------------------------------------------------------------


def validate(
    file: Annotated[
        Path | None, typer.Argument(help="Config file to check instead of the one in force", metavar="FILE")
    ] = None,
    form: checking.FormatOption = "text",
    fix: checking.FixOption = False,
    unsafe: checking.UnsafeOption = False,
    strict: checking.StrictOption = False,
) -> None:
    """Check config.yaml and its profile; exit code 2 if there are errors."""
    checking.validate_config(file, form, fix=fix, unsafe=unsafe, strict=strict)
