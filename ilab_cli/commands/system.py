"""``ilab system``: this machine, as the program sees it."""

from __future__ import annotations

import typer

__all__ = ["add_to"]


def add_to(group: typer.Typer) -> None:
    """Add the commands to their group."""
    group.callback()(lambda: None)
