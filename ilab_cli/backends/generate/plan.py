"""Who is asked next, and what counts: the pairs wanted, shared among the leaves, and the rows of each leaf in order.

Rows finish in any order, but count in their own: a leaf has the first pairs of its rows, however fast each was, so that
a run gives the same pairs every time. Nothing here asks a teacher, and nothing waits.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence, Set

from ilab_cli.backends.generate.output import Pair
from ilab_cli.backends.generate.pipeline.block import Row
from ilab_cli.backends.generate.pipeline.losses import Losses

__all__ = ["LeafPlan", "RunPlan", "Rounds", "Row", "asked", "shares"]

Rounds = Callable[[int], Iterator[Row]]
"""Gives the rows of a round; each round draws them anew."""

_ROUNDS = 1000
"""Most rounds of a leaf."""
_PATIENCE = 15
"""Rows, in rounds that brought no new pair at all, after which a leaf counts as dry."""


def shares(total: int, limits: Sequence[int | None]) -> list[int]:
    """Share a number among leaves as evenly as their limits allow; what one cannot take goes to the others.

    Args:
        total: the number.
        limits: the most that each leaf can take, ``None`` where that is not known.
    """
    most = [math.inf if limit is None else limit for limit in limits]
    given = [0] * len(limits)
    rest, open_ = total, sorted(range(len(limits)), key=most.__getitem__, reverse=True)
    while open_ and most[open_[-1]] <= rest // len(open_):
        leaf = open_.pop()
        given[leaf] = int(most[leaf])
        rest -= given[leaf]
    for place, leaf in enumerate(sorted(open_)):
        given[leaf] = rest // len(open_) + (place < rest % len(open_))
    return given


class LeafPlan:
    """The rows and pairs of one leaf.

    Args:
        name: path of the leaf.
        rounds: gives its rows.
        expected: pairs that a row is expected to bring, before any is known.
        seeds: what the seed examples of all leaves ask, which no pair may ask: the student is tested with it.

    Attributes:
        share: pairs wanted of it.
        pairs: accepted pairs, in the order of the rows.
        rejected: how many were not accepted, by reason.
        dry: whether it can give no more pairs.
        rows: rows that are finished.
        asked: rows that are asked and not finished.
    """

    def __init__(self, name: str, rounds: Rounds, expected: float, seeds: Set[str] = frozenset()) -> None:
        self.name = name
        self.share = 0
        self.pairs: list[Pair] = []
        self.rejected = Losses()
        self.dry = False
        self.rows = self.asked = 0
        self._expected = expected
        self._stream = enumerate(row for number in range(_ROUNDS) for row in (*rounds(number), None))
        self._finished: dict[int, list[Pair] | None] = {}
        self._cursor = self._rounds = self._fruitless = self._before_round = 0
        self._seeds = seeds
        self._seen: set[str] = set()

    @property
    def accepted(self) -> int:
        """Pairs that count: its share, or all that it has."""
        return min(len(self.pairs), self.share)

    @property
    def enough(self) -> bool:
        """Whether it has its share."""
        return self.accepted == self.share

    @property
    def over(self) -> bool:
        """Whether nothing more is asked for it."""
        return self.dry or self.enough

    def take(self) -> tuple[int, Row] | None:
        """The next row to ask and its number; none if those under way should do."""
        if self.over or not self._wants_more():
            return None
        for number, row in self._stream:
            if row is not None:
                self.asked += 1
                return number, row
            self._finished[number] = None
            self._advance()
            if self.dry:
                break
        return None

    def finish(self, number: int, pairs: list[Pair], rejected: Counter[str]) -> None:
        """Take in what became of a row."""
        self.asked -= 1
        self._finished[number] = pairs
        self.rows += 1
        self.rejected.take_in(rejected)
        self._advance()

    def _wants_more(self) -> bool:
        found = len(self.pairs) + sum(len(pairs) for pairs in self._finished.values() if pairs)
        each = (self._expected + found) / (1 + self.rows)
        return found + each * self.asked < self.share

    def _advance(self) -> None:
        """Let the rows count that are finished, and before which every row is."""
        while self._cursor in self._finished and not self.dry:
            pairs = self._finished.pop(self._cursor)
            self._cursor += 1
            if pairs is None:
                self._end_round()
            else:
                self._fruitless += 1
                for pair in pairs:
                    self._accept(pair)

    def _end_round(self) -> None:
        self._rounds += 1
        if len(self.pairs) > self._before_round:
            self._fruitless = 0
        self._before_round = len(self.pairs)
        self.dry = self._fruitless >= _PATIENCE or self._rounds >= _ROUNDS

    def _accept(self, pair: Pair) -> None:
        what = asked(pair)
        if what in self._seeds:
            self.rejected.add("repeats a seed example", pair.columns())
        elif what in self._seen:
            self.rejected.add("asked before in this leaf", pair.columns())
        else:
            self._seen.add(what)
            self.pairs.append(pair)


def asked(pair: Pair) -> str:
    """What a pair asks, as it is compared."""
    return " ".join(f"{pair.context} {pair.question}".casefold().split())


class RunPlan:
    """All leaves of a run.

    Args:
        total: accepted pairs wanted.
        leaves: the leaves, in order.
    """

    def __init__(self, total: int, leaves: Sequence[LeafPlan]) -> None:
        self.total = total
        self.leaves = leaves
        self._open: deque[LeafPlan] = deque()  # all that are not over, and some that are by now
        self._share()

    @property
    def accepted(self) -> int:
        """Pairs that the run has."""
        return sum(leaf.accepted for leaf in self.leaves)

    @property
    def over(self) -> bool:
        """Whether nothing more is asked."""
        while self._open and self._open[0].over:
            self._open.popleft()
        return not self._open

    @property
    def rejected(self) -> Counter[str]:
        """How many were not accepted, by reason."""
        return sum((leaf.rejected for leaf in self.leaves), Counter())

    @property
    def pairs(self) -> list[Pair]:
        """The accepted pairs, leaf by leaf."""
        return [pair for leaf in self.leaves for pair in leaf.pairs[: leaf.share]]

    def take(self) -> tuple[LeafPlan, int, Row] | None:
        """The next row to ask: of the first leaf that wants one, so that prompts that are alike are sent together."""
        while not self.over:
            for leaf in self._open:
                if taken := leaf.take():
                    return leaf, *taken
                if leaf.dry:
                    self._share()
                    break
            else:
                break
        return None

    def finish(self, leaf: LeafPlan, number: int, pairs: list[Pair], rejected: Counter[str]) -> None:
        """Take in what became of a row."""
        dry = leaf.dry
        leaf.finish(number, pairs, rejected)
        if leaf.dry != dry:
            self._share()

    def _share(self) -> None:
        """Share anew, as what a dry leaf lacks goes to the others; those that have to be asked are open then."""
        limits = [len(leaf.pairs) if leaf.dry else None for leaf in self.leaves]
        for leaf, share in zip(self.leaves, shares(self.total, limits), strict=True):
            leaf.share = share
        self._open = deque(leaf for leaf in self.leaves if not leaf.over)
