"""``ilab profile``: look at profiles and check them."""

from __future__ import annotations

from typing import Annotated

import typer

from ilab_cli import output
from ilab_profiles import load, names
from ilab_profiles.render import dump, to_data

__all__ = ["add_to"]


def add_to(group: typer.Typer) -> None:
    """Add the commands to their group."""
    group.command("list")(output.reports(list_))
    for command in (show, validate):
        group.command()(output.reports(command))


Name = Annotated[str, typer.Argument(help="Name or path of a profile", metavar="NAME")]


def list_() -> None:
    """List the profiles that can be chosen."""
    width = max(map(len, names()))
    for name in names():
        print(f"{name:{width}}  {load(name).description}")


def show(name: Name) -> None:
    """Print every setting of a profile, what it extends included."""
    print(dump(to_data(load(name))), end="")


def validate(name: Name) -> None:
    """Check a profile; exit with 2 if it is refused."""
    load(name)
    output.say(f"{name}: valid")
