"""The program: its commands, and what every one of them has in common."""

from __future__ import annotations

import sys

import typer

from ilab_cli.commands import config, model, profile

__all__ = ["app", "main"]

app = typer.Typer(
    name="ilab",
    help="Generate data for, train and evaluate language models, with settings from one profile.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(config.app, name="config")
app.add_typer(profile.app, name="profile")
app.add_typer(model.app, name="model")


def main() -> None:
    """Run ``ilab`` with the arguments of this process; flags may be written with ``_`` for ``-``."""
    arguments = sys.argv[1:]
    if "--" in arguments:
        end = arguments.index("--")
        arguments[:end] = map(_dashed, arguments[:end])
    else:
        arguments = [*map(_dashed, arguments)]
    app(arguments, prog_name="ilab")


def _dashed(argument: str) -> str:
    if not argument.startswith("--"):
        return argument
    name, equals, value = argument.partition("=")
    return name.replace("_", "-") + equals + value
