"""``ilab profile``: look at profiles and check them."""

from __future__ import annotations

from typing import Annotated

import typer

from ilab_cli import output
from ilab_profiles import load, names
from ilab_profiles.render import dump, to_data

__all__ = ["app"]

app = typer.Typer(help="Look at profiles and check them.", no_args_is_help=True, rich_markup_mode=None)

Name = Annotated[str, typer.Argument(help="Name or path of a profile", metavar="NAME")]


@app.command("list")
@output.reports
def list_() -> None:
    """List the profiles that can be chosen."""
    width = max(map(len, names()))
    for name in names():
        print(f"{name:{width}}  {load(name).description}")


@app.command("show")
@output.reports
def show(name: Name) -> None:
    """Print every setting of a profile, what it extends included."""
    print(dump(to_data(load(name))), end="")


@app.command("validate")
@output.reports
def validate(name: Name) -> None:
    """Check a profile; exit with 2 if it is refused."""
    load(name)
    output.say(f"{name}: valid")
