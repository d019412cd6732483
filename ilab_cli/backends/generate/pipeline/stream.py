"""A pipeline at work: a row streams through all blocks, and each that does not arrive is counted with a reason.

What one row becomes goes on at once, each on its own, but for the steps that compare: they get all of it, in an order
that does not depend on which was faster.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from ilab_cli.backends.generate.pipeline.block import ROW_KEY, Ask, Block, Rejected, Row, Uses, named
from ilab_cli.backends.generate.pipeline.columns import SetToMajorityValue
from ilab_cli.backends.generate.pipeline.losses import Losses
from ilab_cli.backends.generate.pipeline.pair import finished
from ilab_profiles import Finding

__all__ = ["Iter", "Pipeline", "Step"]

T = TypeVar("T")


@dataclass(frozen=True)
class Step:
    """A block and what happens to its rows: columns in which no two may agree, columns that are dropped."""

    block: Block
    drop_columns: tuple[str, ...] = ()
    drop_duplicates: tuple[str, ...] = ()

    @property
    def gathers(self) -> bool:
        """Whether it has to have all rows of a seed row before one can go on."""
        return bool(self.drop_duplicates) or isinstance(self.block, SetToMajorityValue)

    async def run(self, row: Row, ask: Ask, rejected: Losses) -> list[Row]:
        """The rows that its block makes of a row."""
        missing = next((column for column, place in self.block.reads() if place is None and column not in row), None)
        if missing is not None:
            return _accepted([Rejected(f"the row has no column {missing}")], rejected, row, self.block.name)
        return _accepted(await self.block.run(row, ask), rejected, row, self.block.name)

    def gather(self, rows: list[Row], rejected: Losses) -> list[Row]:
        """Those of the rows of its block that go on, as they go on."""
        if isinstance(self.block, SetToMajorityValue):
            rows = self.block.run_together(rows)
        if self.drop_duplicates:
            first: dict[tuple[str, ...], Row] = {}
            for row in rows:
                if first.setdefault(tuple(_plain(row.get(name)) for name in self.drop_duplicates), row) is not row:
                    rejected.add(f"{self.block.name}: duplicate {', '.join(self.drop_duplicates)}", row)
            rows = list(first.values())
        dropped = set(self.drop_columns) - {ROW_KEY}
        return [{name: value for name, value in row.items() if name not in dropped} for row in rows]


class Iter(Block):
    """Runs another block several times over the same row; all the rows that come of it go on."""

    num_iters: int
    block: Block

    def reads(self) -> Uses:
        """The columns that the block reads."""
        return self.block.reads()

    def after(self, columns: frozenset[str]) -> frozenset[str] | None:
        """The columns that the block gives."""
        return self.block.after(columns)

    async def run(self, row: Row, ask: Ask) -> list[Row | Rejected]:
        """The rows of all times; each time asks under a key of its own, so that it gets answers of its own."""
        return await _together(self.block.run(named(row, number), ask) for number in range(self.num_iters))


@dataclass(frozen=True)
class Pipeline:
    """The steps for one kind of leaf.

    Attributes:
        kind: ``knowledge``, ``grounded`` or ``freeform``.
        source: the file.
        steps: its blocks, in order.
        warnings: findings that do not keep it from running.
    """

    kind: str
    source: str
    steps: tuple[Step, ...]
    warnings: tuple[Finding, ...] = ()

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The blocks, in order."""
        return tuple(step.block for step in self.steps)

    async def run(self, row: Row, ask: Ask) -> tuple[list[Row], Losses]:
        """Take a row through all blocks.

        Args:
            row: columns as seeds have them; ``row_key`` names it, or else a digest of its columns does. Where
                duplicates are dropped, only what comes of this row is compared: what other rows bring is for the
                caller to compare.
            ask: asks the teacher.

        Returns:
            The rows that arrived, each with ``question``, ``response`` and a ``row_key`` of its own, and how many were
            rejected for which reason.

        Raises:
            Stopped: if the run has to stop.
        """
        rejected = Losses()
        rows = [{**row, ROW_KEY: row.get(ROW_KEY) or _digest(row)}]
        for steps in self._stretches():
            rows = await _together(_stream(item, steps, ask, rejected) for item in rows)
            rows = steps[-1].gather(rows, rejected)
        return [row for item in rows for row in _accepted([finished(item)], rejected, item)], rejected

    def _stretches(self) -> Iterator[tuple[Step, ...]]:
        """The steps, parted after each that needs all rows at once."""
        begin = 0
        for end, step in enumerate(self.steps, start=1):
            if step.gathers or end == len(self.steps):
                yield self.steps[begin:end]
                begin = end


async def _stream(row: Row, steps: Sequence[Step], ask: Ask, rejected: Losses) -> list[Row]:
    """The rows that the last of some steps makes of what the others made of a row, each going on at once."""
    step, *others = steps
    rows = await step.run(row, ask, rejected)
    if not others:
        return rows
    return await _together(_stream(item, others, ask, rejected) for item in step.gather(rows, rejected))


def _accepted(outcomes: Sequence[Row | Rejected], rejected: Losses, row: Row, block: str = "") -> list[Row]:
    """The rows among what became of a row; the others are counted, with the block that rejected them."""
    before = f"{block}: " if block else ""
    for outcome in outcomes:
        if isinstance(outcome, Rejected):
            rejected.add(before + outcome.reason, row)
    return [outcome for outcome in outcomes if not isinstance(outcome, Rejected)]


def _plain(value: object) -> str:
    """A value without what makes no difference between texts."""
    return " ".join(str(value).split()).casefold()


async def _together(works: Iterable[Coroutine[Any, Any, list[T]]]) -> list[T]:
    """The results of all works in one list, in their order; the first failure stops the others and is raised."""
    coroutines = list(works)
    if len(coroutines) == 1:
        return await coroutines[0]
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(coroutine) for coroutine in coroutines]
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [item for task in tasks for item in task.result()]


def _digest(row: Row) -> str:
    text = json.dumps(row, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:20]
