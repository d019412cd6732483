"""The program: its groups of commands, of which only the one that the command line names is loaded, and few others.

Typer loads pydantic as soon as an option of a command, or of a group above it, is looked at, if only ``--help``. So
groups on the way to a command have no options, and those that go anywhere (``--quiet``) are taken out beforehand.
Typer itself is loaded where Ctrl-C is heard.
"""

from __future__ import annotations

import io
import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ilab_cli import output
from ilab_cli.command_line import OffersAnywhere, answering, is_completion, words
from ilab_cli.style import coloured
from ilab_profiles.diagnostics import Finding
from ilab_profiles.yaml.memory import reading_once

if TYPE_CHECKING:
    import typer

__all__ = ["main"]

GROUPS = {
    "config": "Create, show, edit and check config.yaml",
    "profile": "List, show, check and create profiles",
    "data": "Generate, mix, check and show data",
    "model": "Train, evaluate and serve models",
    "system": "Show this machine's hardware and software",
}
COMMANDS = ("report",)
"""The commands that stand in no group."""


def make_app() -> typer.Typer:
    """The program as far as the words of the command line need it."""
    group, command = (*words(), "", "")[:2]
    at_root = group not in (*GROUPS, *COMMANDS) and not is_completion()
    app = _group(
        "Generate data for, train and evaluate language models, with settings from one profile.",
        helps=at_root,
        completes=at_root,
        also="--version prints the version. ",
    )
    for name, about in GROUPS.items():
        below = _group(about, helps=not is_completion() and (not command or command.startswith("-")))
        if name == group:
            import_module(f"ilab_cli.commands.{name}").add_to(below)
        else:
            below.callback()(lambda: None)
        app.add_typer(below, name=name, help=about)
    for name in COMMANDS if group not in GROUPS else ():
        import_module(f"ilab_cli.commands.{name}").add_to(app)
    return app


def _group(about: str, *, helps: bool, completes: bool = False, also: str = "") -> typer.Typer:
    import typer
    from typer.core import TyperGroup

    return typer.Typer(
        cls=type("Group", (OffersAnywhere, TyperGroup), {}),
        help=about,
        epilog=f"{also}Everywhere: --quiet, --verbose, --debug (shows the traceback of an internal error).",
        add_help_option=helps,
        add_completion=completes,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["--help", "-h"], "color": coloured(sys.stdout)},
    )


def main() -> None:
    """Run ``ilab`` with the arguments of this process; flags may be written with ``_`` for ``-``."""
    try:
        _run()
    except SystemExit:
        if type(sys.stdout).__name__ == "PacifyFlushWrapper":  # Typer's answer to an output that nobody reads any more
            sys.exit(output.NOT_READ)
        raise
    except KeyboardInterrupt:
        sys.exit(output.INTERRUPTED)
    except BrokenPipeError:  # who read our output has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(output.NOT_READ)
    except Exception as error:
        if output.debugging():
            raise
        if is_completion():  # a shell would show it in the middle of what is being typed
            sys.exit(output.FAILED)
        output.warn([f"ilab failed: {type(error).__name__}: {error}", "--debug shows where"])
        sys.exit(output.FAILED)


def _run() -> None:
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # not every name of a file can be written there
    if is_completion():
        with answering():
            make_app()(prog_name="ilab")
        return
    if words() == ("--version",):
        from ilab_cli.extras import versions

        print(f"ilab {versions()['ilab-profiles'] or '(not installed)'}")
        return
    with reading_once():
        _call(list(words()))


def _call(arguments: list[str]) -> None:
    """Run the command that the arguments name; what is wrong with them is told as everything else is."""
    try:
        sys.exit(make_app()(arguments, prog_name="ilab", standalone_mode=False))
    except Exception as caught:
        error: Any = caught
        if not hasattr(error, "format_message"):  # as Typer's errors have it, which are of a module that it hides
            raise
        context = getattr(error, "ctx", None)
        if type(error).__name__ == "NoArgsIsHelpError":
            error.show()
        else:
            hint = f"`{context.command_path} --help` shows what can be written" if context else ""
            output.warn([Finding("usage", error.format_message(), hint=hint)])
        sys.exit(output.BAD_INPUT)
