"""Flags that several commands share and that are not settings: ``--profile``, ``--config``, ``--dry-run``."""

from __future__ import annotations

from typing import Annotated

import typer

from ilab_cli.flags import completion

__all__ = ["ConfigOption", "DryRun", "JsonOption", "Overwrite", "ProfileOption"]

ProfileOption = Annotated[
    str | None,
    typer.Option(
        "--profile",
        help="Profile to use instead of the one in config.yaml",
        metavar="NAME",
        autocompletion=completion.profiles,
    ),
]
ConfigOption = Annotated[
    str | None,
    typer.Option("--config", help="Settings file (YAML or JSON); overrides everything except flags", metavar="FILE"),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the settings in force and the command; run nothing")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what another run left in the output folder")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON")]
