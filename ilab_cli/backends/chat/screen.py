"""What people see and type: a terminal with history and Markdown, or plain lines where there is none."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from ilab_cli.output import lively, say
from ilab_profiles.models.config import Chat

__all__ = ["Screen", "open_screen"]


class Screen(Protocol):
    """Where a chat takes place."""

    def ask(self) -> str | None:
        """The next line that the person types; ``None`` at the end."""

    async def show(self, pieces: AsyncIterator[str], so_far: list[str]) -> None:
        """Show an answer while it comes; its pieces are kept in ``so_far``."""


def open_screen(chat: Chat, commands: Sequence[str]) -> Screen:
    """The screen that fits where we run.

    Args:
        chat: the settings.
        commands: what may be typed instead of a question, to complete it.
    """
    return _Terminal(chat, commands) if sys.stdin.isatty() and lively(sys.stdout) else _Lines()


class _Lines:
    """Questions from standard input, one a line; answers to standard output."""

    def ask(self) -> str | None:
        return sys.stdin.readline() or None

    async def show(self, pieces: AsyncIterator[str], so_far: list[str]) -> None:
        async for piece in pieces:
            so_far.append(piece)
            print(piece, end="", flush=True)
        print(flush=True)


class _Terminal:
    """A line editor, and answers as Markdown while they come."""

    def __init__(self, chat: Chat, commands: Sequence[str]) -> None:
        from prompt_toolkit import PromptSession
        from prompt_toolkit.completion import WordCompleter
        from rich.console import Console

        completer = WordCompleter(list(commands), sentence=True)
        self._prompt: PromptSession[str] = PromptSession(vi_mode=chat.vi_mode, completer=completer)
        self._console = Console()
        self._overflow = "visible" if chat.visible_overflow else "ellipsis"
        say("/help tells what can be typed; Ctrl-C stops an answer, Ctrl-D ends the chat")

    def ask(self) -> str | None:
        try:
            return self._prompt.prompt("> ")
        except EOFError:
            return None

    async def show(self, pieces: AsyncIterator[str], so_far: list[str]) -> None:
        from rich.live import Live
        from rich.markdown import Markdown

        with Live(console=self._console, vertical_overflow=self._overflow, refresh_per_second=8) as live:  # type: ignore[arg-type]
            async for piece in pieces:
                so_far.append(piece)
                live.update(Markdown("".join(so_far)))
