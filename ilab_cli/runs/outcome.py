"""Telling what a run came to: to people on stderr; to programs on stdout, where nothing else goes then."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from ilab_cli import output
from ilab_cli.backends.outcome import Outcome

__all__ = ["outputs_aside", "tell"]


def tell(outcome: Outcome, *, before: bool) -> None:
    """Say what a run came to, for people.

    Args:
        outcome: what it came to.
        before: whether it was finished before.
    """
    if before:
        output.say("this run was finished before")
    for line in outcome.lines:
        output.say(line)
    for what, where in outcome.made.items():
        output.say(f"{what}: {where}")
    if outcome.next:
        output.say(f"next: {shlex.join(outcome.next)}")


@contextmanager
def outputs_aside(aside: bool) -> Iterator[None]:
    """Send what is printed as a result, by us or by processes that we start, to stderr for the length of a block."""
    if not aside:
        yield
        return
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)
