"""A pipeline at work: a row streams through all blocks, and each that does not arrive is counted with a reason."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from ilab_cli.backends.generate.pipeline.block import ROW_KEY, Ask, Block, Rejected, Row
from ilab_cli.backends.generate.pipeline.columns import SetToMajorityValue
from ilab_cli.backends.generate.pipeline.parse import finished
from ilab_profiles import Finding

__all__ = ["Iter", "Pipeline", "Step"]

T = TypeVar("T")
Seen = set[tuple[object, ...]]
"""Values that a step found in the columns that must differ."""


@dataclass(frozen=True)
class Step:
    """A block and what happens to its rows: columns that are dropped, columns in which no two rows may agree."""

    block: Block
    drop_columns: tuple[str, ...] = ()
    drop_duplicates: tuple[str, ...] = ()


class Iter(Block):
    """Runs another block several times over the same row; all the rows that come of it go on."""

    num_iters: int
    block: Block

    def reads(self) -> Any:
        """The columns that the block reads."""
        return self.block.reads()

    def after(self, columns: frozenset[str]) -> frozenset[str] | None:
        """The columns that the block gives."""
        return self.block.after(columns)

    async def run(self, row: Row, ask: Ask) -> list[Row | Rejected]:
        """The rows of all times; each time asks under a key of its own, so that it gets answers of its own."""
        keys = [f"{row[ROW_KEY]}x{number}" for number in range(self.num_iters)]
        return await _together(self.block.run({**row, ROW_KEY: key}, ask) for key in keys)


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

    async def run(self, row: Row, ask: Ask) -> tuple[list[Row], Counter[str]]:
        """Take a row through all blocks.

        Args:
            row: columns as seeds have them; ``row_key`` names it, or else a digest of its columns does. Where
                duplicates are dropped, what comes of one row is compared: how rows compare must not depend on which
                is faster, so it is for the caller to say.
            ask: asks the teacher.

        Returns:
            The rows that arrived, each with ``question``, ``response`` and a ``row_key`` of its own, and how many were
            rejected for which reason.

        Raises:
            Stopped: if the run has to stop.
        """
        rejected: Counter[str] = Counter()
        seen: Seen = set()
        rows = [{**row, ROW_KEY: row.get(ROW_KEY) or _digest(row)}]
        index = 0
        while True:
            rows = await _together(self._stream(item, index, ask, rejected, seen) for item in rows)
            index = next((at for at in range(index, len(self.steps)) if self._barrier(at)), len(self.steps))
            barrier = self._barrier(index)
            if not barrier:
                break
            rows = self._sift(index, barrier.run_together(rows), rejected, seen)
            index += 1
        return self._count([finished(item) for item in rows], rejected), rejected

    def _barrier(self, index: int) -> SetToMajorityValue | None:
        """The block at a step if it needs all rows at once."""
        block = self.steps[index].block if index < len(self.steps) else None
        return block if isinstance(block, SetToMajorityValue) else None

    async def _stream(self, row: Row, index: int, ask: Ask, rejected: Counter[str], seen: Seen) -> list[Row]:
        """From a step to the next barrier; what a step makes of the row goes on at once, each on its own."""
        if index == len(self.steps) or self._barrier(index):
            return [row]
        outcomes = await _run(self.steps[index].block, row, ask)
        key = row[ROW_KEY]
        rows = self._count(outcomes, rejected)
        named = [{**item, ROW_KEY: key if len(rows) == 1 else f"{key}.{i}"} for i, item in enumerate(rows)]
        kept = self._sift(index, named, rejected, seen)
        return await _together(self._stream(item, index + 1, ask, rejected, seen) for item in kept)

    def _sift(self, index: int, rows: Iterable[Row], rejected: Counter[str], seen: Seen) -> list[Row]:
        """Without the columns to drop, and without rows that agree with an earlier one."""
        step = self.steps[index]
        kept = []
        for row in rows:
            row = {name: value for name, value in row.items() if name not in step.drop_columns or name == ROW_KEY}
            if step.drop_duplicates:
                values = (" ".join(str(row.get(name)).split()).casefold() for name in step.drop_duplicates)
                claim = (index, *values)
                if claim in seen:
                    rejected[f"{step.block.name}: duplicate {', '.join(step.drop_duplicates)}"] += 1
                    continue
                seen.add(claim)
            kept.append(row)
        return kept

    @staticmethod
    def _count(outcomes: Sequence[Row | Rejected], rejected: Counter[str]) -> list[Row]:
        rejected.update(outcome.reason for outcome in outcomes if isinstance(outcome, Rejected))
        return [outcome for outcome in outcomes if not isinstance(outcome, Rejected)]


async def _run(block: Block, row: Row, ask: Ask) -> list[Row | Rejected]:
    missing = next((column for column, place in block.reads() if place is None and column not in row), None)
    if missing is not None:
        return [Rejected(f"{block.name}: the row has no column {missing}")]
    return await block.run(row, ask)


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
