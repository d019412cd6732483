"""What is said to the shell that asks what may come next, beside what Typer says."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from types import SimpleNamespace
from typing import Any

from ilab_cli.words import ANYWHERE, tidy_completion

__all__ = ["OffersAnywhere", "answering"]


class OffersAnywhere:
    """Makes a command, or a group of them, offer the flags that are no options of Typer's there."""

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """What Typer offers, and these flags."""
        found = super().shell_complete(ctx, incomplete)  # type: ignore[misc]
        flags = {*ANYWHERE, "--help", *([] if ctx.parent else ["--version"])} - {item.value for item in found}
        more = [flag for flag in sorted(flags) if incomplete and flag.startswith(incomplete)]
        return [*found, *(SimpleNamespace(value=flag, help=None) for flag in more)]


@contextmanager
def answering() -> Iterator[None]:
    """Let Typer answer a shell about a line that is tidied, and make the shell understand the answer."""
    from typer.completion import get_completion_inspect_parameters

    flag = tidy_completion()
    get_completion_inspect_parameters()  # makes the shells known, which Typer otherwise does for an app's options
    sys.modules["rich"] = None  # type: ignore[assignment]  # Typer would load it to take markup out, and we have none
    said = io.StringIO()
    try:
        with redirect_stdout(said):
            yield
    finally:
        print(_behind(flag, said.getvalue()), end="")


def _behind(flag: str, answer: str) -> str:
    """Values on offer for a flag that is one word with them: zsh can be told so, the others want that whole word."""
    if flag and os.environ["_ILAB_COMPLETE"] == "complete_zsh":
        return f"compset -P 1 '*='; {answer}"
    return "".join(f"{flag}{line}" if line.strip() else line for line in answer.splitlines(keepends=True))
