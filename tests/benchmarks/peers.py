"""The programs that ``startup.py`` measures ours against, written into a folder as modules, with as many flags as ours.

They are real source files, so that Python keeps their byte code as it keeps ours.
"""

from __future__ import annotations

from pathlib import Path

from ilab_cli.flags.make import make_flags

__all__ = ["write"]

# How the groups of a Typer program are made. The floor has options only where the command line needs them, because
# Typer loads pydantic to look at any option on the way to a command.
FLOOR = """
words = sys.argv[1:] if "_ILAB_COMPLETE" not in os.environ else os.environ["COMP_WORDS"].split()
def group(depth):
    helps = len(words) == depth + 1 and "_ILAB_COMPLETE" not in os.environ
    return typer.Typer(
        rich_markup_mode=None, add_help_option=helps, add_completion=helps and not depth, no_args_is_help=True
    )
"""
PLAIN = """
def group(depth):
    return typer.Typer(rich_markup_mode=None)
"""
RICH = """
def group(depth):
    return typer.Typer()
"""
TYPER = '''
import os
import sys
from typing import Annotated
import typer
{groups}
app, config, profile, model, system = group(0), group(1), group(1), group(1), group(1)
for name, below in dict(config=config, profile=profile, model=model, system=system).items():
    below.callback()(lambda: None)
    app.add_typer(below, name=name, help="What this group of commands is about")


@model.command()
def train(
{train}
) -> None:
    """Train a model on conversations."""


@model.command()
def evaluate(
{evaluate}
) -> None:
    """Run benchmarks on a model."""


def read(path):
    from ruamel.yaml import YAML
    from ilab_profiles.models.profile import Profile

    with open(path) as stream:
        return Profile.model_validate(YAML(typ="safe").load(stream))


@profile.command()
def show(path: Annotated[str, typer.Argument(help="Path of a profile")]) -> None:
    """Print every setting of a profile."""
    from ruamel.yaml import YAML

    YAML(typ="safe").dump(read(path).model_dump(mode="json"), sys.stdout)


@profile.command()
def validate(path: Annotated[str, typer.Argument(help="Path of a profile")]) -> None:
    """Check a profile."""
    read(path)


def main():
    if os.path.exists("config.yaml"):
        from ruamel.yaml import YAML

        with open("config.yaml") as stream:
            YAML(typ="safe").load(stream)
    if path := os.environ.get("FLOOR_PROFILE"):
        read(path)  # who shows the values in force has to make them
        if any(name.startswith("ILAB_") for name in os.environ):
            import pydantic_settings
    if "_ILAB_COMPLETE" in os.environ:
        from typer.completion import get_completion_inspect_parameters

        get_completion_inspect_parameters()
    app(prog_name="ilab")
'''
OTHERS = {
    "pydantic_settings": """
from pydantic_settings import CliApp
from ilab_profiles.models.train import Train


def main():
    CliApp.run(Train)
""",
    "jsonargparse": """
from jsonargparse import ArgumentParser
from ilab_profiles.models.train import Train


def main():
    parser = ArgumentParser(prog="train")
    parser.add_class_arguments(Train)
    parser.parse_args()
""",
    "tyro": """
import tyro
from ilab_profiles.models.train import Train


def main():
    tyro.cli(Train)
""",
}


def write(folder: Path) -> None:
    """Write the modules ``floor``, ``plain_typer``, ``rich_typer``, and ``with_…`` for every other library."""
    parameters = {section: _parameters(section) for section in ("train", "evaluate")}
    for name, groups in {"floor": FLOOR, "plain_typer": PLAIN, "rich_typer": RICH}.items():
        (folder / f"{name}.py").write_text(TYPER.format(groups=groups, **parameters), encoding="utf-8")
    for name, text in OTHERS.items():
        (folder / f"with_{name}.py").write_text(text, encoding="utf-8")


def _parameters(section: str) -> str:
    """A section's flags as a person would write them for Typer."""
    kinds = {"switch": "bool", "one": "str", "list": "list[str]"}
    return "\n".join(
        f'    {flag.parameter}: Annotated[{kinds[flag.kind]} | None, typer.Option("--{flag.names[0]}", '
        f"help={flag.help!r}{_more(flag.kind, flag.metavar)})] = None,"
        for flag in make_flags(section)
    )


def _more(kind: str, metavar: str) -> str:
    return "" if kind == "switch" else f", metavar={metavar!r}"
