"""``ilab config``: the file that chooses the profile."""

from __future__ import annotations

from typing import Annotated

import typer

from ilab_cli import completion, output

__all__ = ["add_to"]


def add_to(group: typer.Typer) -> None:
    """Add the commands to their group."""
    group.command()(output.reports(init))


def init(
    profile: Annotated[
        str,
        typer.Option("--profile", help="Name or path of a profile", metavar="NAME", autocompletion=completion.profiles),
    ] = "",
    force: Annotated[bool, typer.Option("--force", help="Overwrite a config file without asking")] = False,
) -> None:
    """Write a commented config.yaml that chooses a profile (cpu_only if none is named)."""
    from ilab_cli.runs import write_atomically
    from ilab_cli.settings import config_path
    from ilab_profiles import Finding, InputError, Position
    from ilab_profiles.config import render_config

    text = render_config(profile)
    path = config_path()
    if path.exists() and not force:
        try:
            typer.confirm(f"{path} exists; overwrite it?", abort=True, err=True)
        except typer.Abort:
            raise InputError(
                Finding("file-exists", "exists already", position=Position(str(path)), hint="overwrite it with --force")
            ) from None
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, text)
    output.say(f"wrote {path}")
