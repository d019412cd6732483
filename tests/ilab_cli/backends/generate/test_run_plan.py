from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from ilab_cli.backends.generate.output import Pair
from ilab_cli.backends.generate.plan import LeafPlan, Rounds, Row, RunPlan, asked, shares


@given(st.integers(0, 200), st.lists(st.none() | st.integers(0, 50), max_size=8))
def test_shares_are_as_even_as_the_limits_allow(total: int, limits: list[int | None]) -> None:
    given_ = shares(total, limits)
    known = [total if limit is None else limit for limit in limits]
    assert sum(given_) == min(total, sum(known))
    assert all(share <= limit for share, limit in zip(given_, known, strict=True))
    free = [share for share, limit in zip(given_, known, strict=True) if share < limit]
    if free:
        assert max(given_) - min(free) <= 1


def pair(leaf: str, text: str) -> Pair:
    return Pair(text, "yes", leaf, "freeform", "test")


class World:
    """Leaves whose rows bring what was settled before anybody asked."""

    def __init__(self, outcomes: dict[str, list[list[list[str]]]]) -> None:
        self.outcomes = outcomes
        self.asked: Counter[str] = Counter()

    def plan(self, total: int) -> RunPlan:
        return RunPlan(total, [LeafPlan(name, self._rounds(name), 2) for name in self.outcomes])

    def _rounds(self, name: str) -> Rounds:
        def rows(number: int) -> Iterator[Row]:
            rounds = self.outcomes[name]
            for place in range(len(rounds[min(number, len(rounds) - 1)])):
                yield {"number": min(number, len(rounds) - 1), "place": place}

        return rows

    def work(self, plan: RunPlan, seed: int, at_once: int) -> list[Pair]:
        """Finish rows in an order of chance, until nothing more is asked."""
        draw = random.Random(seed)
        under_way: list[tuple[LeafPlan, int, Row]] = []
        while True:
            while len(under_way) < at_once and (taken := plan.take()):
                under_way.append(taken)
            if not under_way or plan.over:
                return plan.pairs
            leaf, number, row = under_way.pop(draw.randrange(len(under_way)))
            self.asked[leaf.name] += 1
            texts = self.outcomes[leaf.name][row["number"]][row["place"]]
            plan.finish(leaf, number, [pair(leaf.name, text) for text in texts], Counter())


texts = st.lists(st.sampled_from("abcdefghijklmnop"), max_size=4)
rounds = st.lists(st.lists(texts, min_size=1, max_size=4), min_size=1, max_size=4)


@given(
    st.dictionaries(st.sampled_from(["one", "two", "three"]), rounds, min_size=1),
    st.integers(1, 30),
    st.lists(st.tuples(st.integers(), st.integers(1, 12)), min_size=2, max_size=4),
)
def test_the_same_pairs_count_in_whatever_order_rows_finish(
    outcomes: dict[str, list[list[list[str]]]], total: int, ways: list[tuple[int, int]]
) -> None:
    found = [World(outcomes).work(World(outcomes).plan(total), seed, at_once) for seed, at_once in ways]
    assert all(pairs == found[0] for pairs in found)
    assert len(found[0]) <= total
    assert len({(pair.leaf, pair.question) for pair in found[0]}) == len(found[0])


def test_what_a_dry_leaf_cannot_give_comes_from_the_others() -> None:
    world = World({"dry": [[["a"], ["b"]]], "rich": [[[f"{n}{m}" for m in range(3)] for n in range(40)]]})
    plan = world.plan(30)
    assert [leaf.share for leaf in plan.leaves] == [15, 15]
    found = Counter(pair.leaf for pair in world.work(plan, 0, 4))
    assert found == {"dry": 2, "rich": 28}
    assert 16 <= world.asked["dry"] < 30, "one round, those that brought nothing new, and what was under way"


def test_a_leaf_that_brings_nothing_is_not_asked_again_and_again() -> None:
    world = World({"barren": [[[] for _ in range(200)]], "rich": [[["a", "b"]]]})
    world.work(world.plan(2), 0, 8)
    assert world.asked["barren"] < 220


def test_no_more_is_asked_than_the_share_needs() -> None:
    world = World({"leaf": [[[f"{n}.{m}" for m in range(2)] for n in range(1000)]]})
    assert len(world.work(world.plan(50), 0, 64)) == 50
    assert world.asked["leaf"] == 25


def test_rounds_go_on_while_they_bring_something() -> None:
    world = World({"leaf": [[[f"round {n}"], ["same"]] for n in range(20)]})
    assert len(world.work(world.plan(18), 0, 3)) == 18


def test_seed_examples_are_no_new_pairs() -> None:
    seed = Pair("Who sings?", "A wren.", "leaf", "grounded", "seed", context="In wood 1.")
    leaf = LeafPlan("leaf", lambda _: iter([{}] * 3), 1, {asked(seed)})
    plan = RunPlan(9, [leaf])
    again = replace(seed, question="who  SINGS?", response="Nobody.", pipeline="test")
    elsewhere = replace(again, context="In wood 2.")
    for found in ([again], [elsewhere], [elsewhere, again]):
        taken = plan.take()
        assert taken
        plan.finish(leaf, taken[1], found, Counter())
    assert plan.pairs == [elsewhere]
    assert plan.rejected == {"repeats a seed example": 2, "asked before in this leaf": 1}


def test_many_leaves_make_no_row_dear() -> None:
    looks = 0

    class Watched(LeafPlan):
        def take(self) -> tuple[int, Row] | None:
            nonlocal looks
            looks += 1
            return super().take()

    world = World({f"leaf {number}": [[[f"{n}"] for n in range(4)]] for number in range(300)})
    leaves = [Watched(name, world._rounds(name), 1) for name in world.outcomes]
    assert len(world.work(RunPlan(900, leaves), 0, 8)) == 900
    assert looks < 10 * 900, "a leaf that is over is not looked at again for each row of the others"
