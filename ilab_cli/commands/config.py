"""``ilab config``: the file that chooses the profile."""

from __future__ import annotations

from typing import Annotated

import typer

from ilab_cli import output
from ilab_cli.runs import write_atomically
from ilab_cli.settings import config_path
from ilab_profiles import Finding, InputError, Position
from ilab_profiles.config import render_config

__all__ = ["app"]

app = typer.Typer(help="The file that chooses the profile.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _group() -> None:
    """The file that chooses the profile."""


@app.command("init")
@output.reports
def init(
    profile: Annotated[str, typer.Option("--profile", help="Name or path of a profile", metavar="NAME")] = "",
    force: Annotated[bool, typer.Option("--force", help="Overwrite a config file without asking")] = False,
) -> None:
    """Write a commented config.yaml that chooses a profile (cpu_only if none is named)."""
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
