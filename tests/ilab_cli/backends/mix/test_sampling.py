"""Samples have the size asked for, whatever the seed, and do not depend on how the rows are divided."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ilab_cli.backends.mix.sampling import keys, passes, rows_taken, seed_of

SEEDS = st.integers(0, 2**64 - 1)


@pytest.mark.parametrize(
    ("size", "rows", "taken"),
    [
        (1.0, 7, 7),
        (0.5, 7, 3),
        (3.0, 7, 21),
        (0.29, 100, 29),
        (2.5, 3, 7),
        (5, 7, 5),
        (9, 7, 9),
        (1, 7, 1),
        (0.1, 9, 0),
    ],
)
def test_how_many_rows_a_size_takes(size: float, rows: int, taken: int) -> None:
    assert rows_taken(size, rows) == taken


@given(st.integers(0, 300), st.integers(1, 80), SEEDS)
def test_exactly_so_many_and_none_much_more_often_than_another(taken: int, rows: int, seed: int) -> None:
    found: Counter[int] = Counter()
    for turn in passes(taken, rows, seed):
        found.update(turn.taken(0, rows).tolist())
    assert found.total() == taken
    assert set(found) <= set(range(rows))
    assert {found[row] for row in range(rows)} <= {taken // rows, -(-taken // rows)}


@given(st.integers(1, 80), st.data(), SEEDS)
def test_a_sample_does_not_depend_on_how_rows_are_divided(rows: int, data: st.DataObject, seed: int) -> None:
    (turn,) = passes(data.draw(st.integers(1, rows)), rows, seed)
    cut = data.draw(st.integers(0, rows))
    parts = [*turn.taken(0, cut).tolist(), *(turn.taken(cut, rows - cut) + cut).tolist()]
    assert parts == turn.taken(0, rows).tolist()
    assert [*keys(seed, 0, cut), *keys(seed, cut, rows - cut)] == [*keys(seed, 0, rows)]


def test_more_rows_than_are_counted_at_a_time() -> None:
    rows = 2**20 + 50_000
    (turn,) = passes(1_000_001, rows, 5)
    assert turn.limit == np.sort(keys(5, 0, rows))[1_000_000]
    assert len(turn.taken(0, rows)) == 1_000_001


def test_keys_are_those_of_the_published_generator() -> None:
    """The first numbers of SplitMix64 with seed 1234567, as they are published with its code."""
    first = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    assert keys(1234567, 0, 4).tolist() == first


def test_keys_are_spread_evenly() -> None:
    """Each of 64 parts of the range gets its share, as chi-squared says (63 degrees of freedom, 1 in a million)."""
    counts = np.bincount((keys(seed_of("a", 1), 0, 640_000) >> np.uint64(58)).astype(np.int64), minlength=64)
    assert ((counts - 10_000) ** 2 / 10_000).sum() < 130


def test_seeds_tell_everything_apart() -> None:
    seeds = {seed_of(*parts) for parts in [(1, "a", 0), (1, "a", 1), (1, "b", 0), (2, "a", 0), ("sample", 1, "a", 0)]}
    assert len(seeds) == 5
