"""Asking the person at the terminal, on stderr; whoever gives up with Ctrl-C or Ctrl-D ends the program with 130.

Typer's own prompts write a part of each question to stdout, where only results belong.
"""

from __future__ import annotations

import sys

import typer

from ilab_cli import output

__all__ = ["ask", "confirm", "on_terminal"]


def on_terminal() -> bool:
    """Whether there is a person who can answer."""
    return sys.stdin is not None and sys.stdin.isatty()


def ask(question: str, default: str) -> str:
    """The answer to a question; just Enter takes the default."""
    try:
        print(f"{question} [{default}]: " if default else f"{question}: ", end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
    except KeyboardInterrupt:
        line = ""
    if not line:
        output.warn(["\ncancelled; nothing was written"])
        raise typer.Exit(output.INTERRUPTED)
    return line.strip() or default


def confirm(question: str, *, default: bool) -> bool:
    """Yes or no."""
    while True:
        answer = ask(question, "Y/n" if default else "y/N").lower()
        if answer == "y/n":
            return default
        if answer in ("y", "yes", "n", "no"):
            return answer.startswith("y")
