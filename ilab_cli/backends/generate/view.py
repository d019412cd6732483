"""What people see of a generation: a live view on a terminal, a line for each leaf elsewhere, and a table at the end.

All of it goes to stderr; what the table says is there for programs too, as ``metrics.jsonl``. Nothing here changes what
is generated.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

from ilab_cli.backends.generate.plan import LeafPlan, RunPlan
from ilab_cli.backends.jsonl import as_lines
from ilab_cli.output import columns, lively, say

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["Figures", "View", "metrics", "summary"]

_PAUSE = 0.25
"""Seconds between two pictures, and between two looks at what goes wrong."""
_SILENCE = 15.0
"""Most seconds without a line, where there is no live view."""
_ROWS = 12
"""Most leaves in a picture."""
_LINES = 30
"""Most leaves in the table at the end."""


class Figures(Protocol):
    """What the client tells of its work."""

    calls: int
    retries: int
    replayed: int
    cut: int
    said: dict[str, str]

    @property
    def in_flight(self) -> int:
        """Calls under way."""

    @property
    def limit(self) -> int:
        """Calls that may be under way."""

    @property
    def calls_per_second(self) -> float:
        """Answered calls a second, lately."""

    @property
    def troubles(self) -> list[str]:
        """Endpoints that do not answer, in words."""


class View(AbstractAsyncContextManager["View"]):
    """The view of a run while it lasts.

    Args:
        plan: the leaves.
        client: the client's figures.
    """

    def __init__(self, plan: RunPlan, client: Figures) -> None:
        self._plan = plan
        self._client = client
        self._begun = self._said = monotonic()
        self._told: dict[str, int] = {}  # the share of each leaf when it was told of
        self._exits = AsyncExitStack()

    async def __aenter__(self) -> View:
        live = None
        if lively(sys.stderr):
            from rich.console import Console
            from rich.live import Live

            console = Console(stderr=True, markup=False, emoji=False)  # a leaf may be called [b]
            live = Live(console=console, auto_refresh=False, transient=True)
            self._exits.enter_context(live)
        task = asyncio.create_task(self._paint(live) if live else self._tell_now_and_then())
        self._exits.callback(task.cancel)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._exits.aclose()
        for leaf in self._plan.leaves:
            if self._told.get(leaf.name) != leaf.share:  # it took over from others that gave out
                self._tell(leaf)

    def progress(self, leaf: LeafPlan) -> None:
        """Tell of a leaf that is done, where there is no live view."""
        if leaf.name not in self._told:
            self._tell(leaf)

    def _tell(self, leaf: LeafPlan) -> None:
        if leaf.over and not lively(sys.stderr):
            self._told[leaf.name] = leaf.share
            lost = f"; rejected: {_reasons(leaf.rejected)}" if leaf.rejected else ""
            pairs = f"no new pairs after {leaf.accepted}" if leaf.dry else f"{leaf.accepted} of {leaf.share} pairs"
            self._say(f"{leaf.name}: {pairs} from {leaf.rows} row{'s' * (leaf.rows != 1)}{lost}")

    async def _paint(self, live: Any) -> None:
        while True:
            live.update(self._picture(), refresh=True)
            await asyncio.sleep(_PAUSE)

    async def _tell_now_and_then(self) -> None:
        """A line at once when an endpoint stops answering, and one at least every few seconds."""
        in_trouble = False
        while True:
            troubles = self._client.troubles
            if (troubles and not in_trouble) or monotonic() - self._said >= _SILENCE:
                self._say("; ".join([self._pairs(), *(troubles or [self._calls()])]))
            in_trouble = bool(troubles)
            await asyncio.sleep(_PAUSE)

    def _say(self, text: str) -> None:
        self._said = monotonic()
        say(text)

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
            table.add_row(leaf.name, *map(str, (leaf.accepted, leaf.share, leaf.rejected.total(), leaf.asked)))
        done = sum(leaf.over for leaf in self._plan.leaves)
        lines = [f"{done} of {len(self._plan.leaves)} leaves done; {self._pairs()}", self._calls()]
        lines += self._client.troubles
        if rejected := self._plan.rejected:
            lines.append(f"rejected: {_reasons(rejected)}")
        return Group(table, *(Text(line, no_wrap=True, overflow="ellipsis") for line in lines))

    def _pairs(self) -> str:
        accepted, total, elapsed = self._plan.accepted, self._plan.total, monotonic() - self._begun
        rest = f"about {_duration(elapsed * (total - accepted) / accepted)} left" if accepted else "no estimate yet"
        return f"{accepted} of {total} pairs; {_duration(elapsed)} gone, {rest}"

    def _calls(self) -> str:
        client = self._client
        return f"{client.calls_per_second:.1f} calls/s, {client.in_flight} in flight (at most {client.limit})"


def summary(plan: RunPlan, client: Figures, seconds: float) -> Iterator[str]:
    """The text at the end: a table of the leaves (where they are many, of those that gave out), and totals."""
    many = len(plan.leaves) > _LINES
    shown = [leaf for leaf in plan.leaves if leaf.dry or not many][:_LINES]
    others = [leaf for leaf in plan.leaves if leaf not in shown]
    lines = [_line(leaf.name, [leaf]) for leaf in shown]
    if shown and others:
        lines.append(_line(f"{len(others)} other leaves", others))
    total = _line(f"all {len(plan.leaves)} leaves" if many else "all", plan.leaves)
    total[2] = f"{plan.total:6}"
    yield columns(["leaf", "accepted", "wanted", "rejected", "  rows", ""], [*lines, total], sys.stderr)
    for reason, number in plan.rejected.most_common():
        said = next((text for short, text in client.said.items() if text and reason.endswith(f": {short}")), "")
        yield f"rejected {number}: {reason}" + (f" ({said})" if said else "")
    rate = f", {client.calls / seconds:.1f} a second" if client.calls else ""
    more = {"tried again": client.retries, "answers from the journal": client.replayed, "answers cut short": client.cut}
    besides = "".join(f", {number} {what}" for what, number in more.items() if number)
    yield f"{client.calls} calls in {_duration(seconds)}{rate}{besides}"


def metrics(plan: RunPlan, client: Figures, seconds: float) -> str:
    """The same for programs, as JSON lines: one for each leaf, and a last one, whose leaf is ``null``, for all."""
    whole = {
        **_figures(None, plan.leaves),
        "wanted": plan.total,
        "seconds": round(seconds, 3),
        "calls": client.calls,
        "tried_again": client.retries,
        "from_journal": client.replayed,
        "cut_short": client.cut,
    }
    return as_lines([*(_figures(leaf.name, [leaf]) for leaf in plan.leaves), whole])


def _figures(name: str | None, leaves: Sequence[LeafPlan]) -> dict[str, Any]:
    return {
        "leaf": name,
        "accepted": sum(leaf.accepted for leaf in leaves),
        "wanted": sum(leaf.share for leaf in leaves),
        "rows": sum(leaf.rows for leaf in leaves),
        "gave_out": sum(leaf.dry for leaf in leaves),
        "rejected": dict(sum((leaf.rejected for leaf in leaves), Counter[str]())),
    }


def _line(name: str, leaves: Sequence[LeafPlan]) -> list[str]:
    """Leaves together as one line of the table."""
    of = _figures(name, leaves)
    note = "" if not of["gave_out"] else "no new pairs" if len(leaves) == 1 else f"{of['gave_out']} without new pairs"
    rejected = sum(of["rejected"].values())
    return [name, f"{of['accepted']:8}", f"{of['wanted']:6}", f"{rejected:8}", f"{of['rows']:6}", note]


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
