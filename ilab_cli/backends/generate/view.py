"""What people see of a generation: a live view on a terminal, a line for each leaf elsewhere, and a table at the end.

All of it goes to stderr. Nothing here changes what is generated.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

from ilab_cli.backends.generate.plan import LeafPlan, Plan
from ilab_cli.output import lively, say

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["Figures", "View", "summary"]

_PAUSE = 0.25
"""Seconds between two pictures."""
_ROWS = 12
"""Most leaves shown at once."""


class Figures(Protocol):
    """What the client tells of its work."""

    calls: int
    retries: int
    replayed: int
    cut: int

    @property
    def in_flight(self) -> int:
        """Calls under way."""

    @property
    def limit(self) -> int:
        """Calls that may be under way."""

    @property
    def calls_per_second(self) -> float:
        """Answered calls a second, lately."""


class View(AbstractAsyncContextManager["View"]):
    """The view of a run while it lasts.

    Args:
        plan: the leaves.
        client: the client's figures.
    """

    def __init__(self, plan: Plan, client: Figures) -> None:
        self._plan = plan
        self._client = client
        self._begun = monotonic()
        self._told: set[str] = set()
        self._exits = AsyncExitStack()

    async def __aenter__(self) -> View:
        if lively(sys.stderr):
            from rich.console import Console
            from rich.live import Live

            live = Live(console=Console(stderr=True), auto_refresh=False, transient=True)
            self._exits.enter_context(live)
            task = asyncio.create_task(self._paint(live))
            self._exits.callback(task.cancel)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._exits.aclose()

    def progress(self, leaf: LeafPlan) -> None:
        """Tell of a leaf that is done, where there is no live view."""
        if leaf.over and leaf.name not in self._told and not lively(sys.stderr):
            self._told.add(leaf.name)
            lost = f"; rejected: {_reasons(leaf.rejected)}" if leaf.rejected else ""
            accepted = min(len(leaf.pairs), leaf.share)
            pairs = f"gave out after {accepted} pairs" if leaf.dry else f"{accepted} of {leaf.share} pairs"
            say(f"{leaf.name}: {pairs} from {leaf.rows} rows{lost}")

    async def _paint(self, live: Any) -> None:
        while True:
            live.update(self._picture(), refresh=True)
            await asyncio.sleep(_PAUSE)

    def _picture(self) -> RenderableType:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False)
        table.add_column("leaf", overflow="ellipsis", no_wrap=True)
        for name in ("accepted", "wanted", "rejected", "asked"):
            table.add_column(name, justify="right")
        begun = [leaf for leaf in self._plan.leaves if leaf.rows or leaf.asked]
        shown = sorted(begun, key=lambda leaf: leaf.over)[:_ROWS]
        for leaf in shown:
            accepted = min(len(leaf.pairs), leaf.share)
            table.add_row(leaf.name, *map(str, (accepted, leaf.share, leaf.rejected.total(), leaf.asked)))
        done = sum(leaf.over for leaf in self._plan.leaves)
        lines = [f"{done} of {len(self._plan.leaves)} leaves done; {self._numbers()}"]
        if rejected := self._plan.rejected:
            lines.append(f"rejected: {_reasons(rejected)}")
        return Group(table, *(Text(line, no_wrap=True, overflow="ellipsis") for line in lines))

    def _numbers(self) -> str:
        plan, client = self._plan, self._client
        accepted, elapsed = plan.accepted, monotonic() - self._begun
        rest = (
            f"about {_duration(elapsed * (plan.total - accepted) / accepted)} left" if accepted else "no estimate yet"
        )
        calls = f"{client.calls_per_second:.1f} calls/s, {client.in_flight} in flight (at most {client.limit})"
        return f"{accepted} of {plan.total} pairs; {calls}; {_duration(elapsed)} gone, {rest}"


def summary(plan: Plan, client: Figures, seconds: float) -> Iterator[str]:
    """The lines of the table at the end."""
    width = max((len(leaf.name) for leaf in plan.leaves), default=4)
    yield f"{'leaf':{width}}  accepted  wanted  rejected  rows"
    for leaf in plan.leaves:
        accepted, rejected = min(len(leaf.pairs), leaf.share), leaf.rejected.total()
        note = "  gave out" if leaf.dry else ""
        yield f"{leaf.name:{width}}  {accepted:8}  {leaf.share:6}  {rejected:8}  {leaf.rows:4}{note}"
    rows = sum(leaf.rows for leaf in plan.leaves)
    yield f"{'all':{width}}  {plan.accepted:8}  {plan.total:6}  {plan.rejected.total():8}  {rows:4}"
    yield from (f"rejected {number}: {reason}" for reason, number in plan.rejected.most_common())
    rate = f", {client.calls / seconds:.1f} a second" if client.calls else ""
    more = {"tried again": client.retries, "answers from the journal": client.replayed, "answers cut short": client.cut}
    others = "".join(f", {number} {what}" for what, number in more.items() if number)
    yield f"{client.calls} calls in {_duration(seconds)}{rate}{others}"


def _reasons(rejected: Counter[str], most: int = 3) -> str:
    """The most frequent reasons with their numbers."""
    named = [f"{number} {reason}" for reason, number in rejected.most_common(most)]
    rest = rejected.total() - sum(number for _, number in rejected.most_common(most))
    return ", ".join([*named, *([f"{rest} for other reasons"] if rest else [])])


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{seconds:.1f} s" if seconds < 10 else f"{rest} s"
