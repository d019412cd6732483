"""The program: its groups of commands, of which only the one that the command line names is loaded.

Typer loads pydantic as soon as an option of a command, or of a group above it, is looked at, if only ``--help``. So
groups on the way to a command have no options, and those that go anywhere (``--quiet``) are taken out beforehand.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module

import typer

from ilab_cli import output
from ilab_cli.words import is_completion, tidy_completion, words

__all__ = ["main"]

GROUPS = {
    "config": "The file that chooses the profile",
    "profile": "Look at profiles, check them and make your own",
    "data": "Generate, mix and check data",
    "model": "Train, evaluate and serve models",
    "system": "This machine, as the program sees it",
}


def make_app() -> typer.Typer:
    """The program as far as the words of the command line need it."""
    group, command = (*words(), "", "")[:2]
    at_root = group not in GROUPS and not is_completion()
    app = _group(
        "Generate data for, train and evaluate language models, with settings from one profile.",
        helps=at_root,
        completes=at_root,
    )
    for name, about in GROUPS.items():
        below = _group(about, helps=not is_completion() and (not command or command.startswith("-")))
        if name == group:
            import_module(f"ilab_cli.commands.{name}").add_to(below)
        else:
            below.callback()(lambda: None)
        app.add_typer(below, name=name, help=about)
    return app


def _group(about: str, *, helps: bool, completes: bool = False) -> typer.Typer:
    return typer.Typer(
        help=about,
        epilog="Anywhere: --quiet, --verbose, and --debug for the traceback of an error in the program.",
        add_help_option=helps,
        add_completion=completes,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["--help", "-h"]},
    )


def main() -> None:
    """Run ``ilab`` with the arguments of this process; flags may be written with ``_`` for ``-``."""
    try:
        if is_completion():
            _prepare_completion()
        make_app()(list(words()), prog_name="ilab")
    except KeyboardInterrupt:
        sys.exit(output.INTERRUPTED)
    except BrokenPipeError:  # who read our output has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(output.FAILED)
    except Exception as error:
        if output.debugging():
            raise
        if is_completion():  # a shell would show it in the middle of what is being typed
            sys.exit(output.FAILED)
        output.warn([f"ilab failed: {type(error).__name__}: {error}", "--debug shows where"])
        sys.exit(output.FAILED)


def _prepare_completion() -> None:
    from typer.completion import get_completion_inspect_parameters

    tidy_completion()
    get_completion_inspect_parameters()  # makes the shells known, which Typer otherwise does for an app's options
    sys.modules["rich"] = None  # type: ignore[assignment]  # Typer would load it to take markup out, and we have none
