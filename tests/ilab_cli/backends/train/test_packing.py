"""Packing: nothing is lost, nothing overflows, no packing has fewer microbatches, and those of a step cost alike."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("numpy", reason="needs the train extra")

import numpy as np

from ilab_cli.backends.train.packing import costs, fill_rows, microbatches


def fewest_bins(sizes: list[int], room: int) -> int:
    """The fewest bins, by trying every packing."""
    best = len(sizes)

    def place(number: int, free: tuple[int, ...]) -> None:
        nonlocal best
        if len(free) >= best:
            return
        if number == len(sizes):
            best = len(free)
            return
        size = sizes[number]
        for room_left in set(free):
            if room_left >= size:
                others = list(free)
                others.remove(room_left)
                place(number + 1, (*others, room_left - size))
        place(number + 1, (*free, room - size))

    place(0, ())
    return best


@given(st.lists(st.integers(1, 30), min_size=1, max_size=9), st.integers(0, 20), st.integers(1, 4))
def test_no_packing_has_fewer_microbatches(sizes: list[int], more: int, ranks: int) -> None:
    room = max(sizes) + more
    made = microbatches(np.array(sizes), ranks, room, 64)
    assert sorted(sample for share in made for part in share for sample in part) == list(range(len(sizes)))
    assert all(sum(sizes[sample] for sample in part) <= room for share in made for part in share)
    assert {len(share) for share in made} == {max(1, math.ceil(fewest_bins(sizes, room) / ranks))}


def test_full_bins_are_found() -> None:
    """Sixteen bins that are full to the brim: the longest first would need one more."""
    draw = np.random.default_rng(3)
    cuts = [np.diff([0, *sorted(draw.choice(np.arange(1, 1000), 7, replace=False)), 1000]) for _ in range(16)]
    sizes = draw.permutation(np.concatenate(cuts))
    assert len(microbatches(sizes, 8, 1000, 4096)[0]) == 2


@pytest.mark.parametrize(("batch", "room", "ranks", "median"), [(256, 32768, 8, 600), (128, 10000, 4, 400)])
def test_microbatches_of_a_step_cost_about_the_same(batch: int, room: int, ranks: int, median: int) -> None:
    draw = np.random.default_rng(0)
    spent = waited = 0.0
    for _ in range(20):
        sizes = np.minimum(draw.lognormal(math.log(median), 0.9, batch).astype(int) + 1, 4096)
        made = microbatches(sizes, ranks, room, 4096)
        cost = np.array([[costs(sizes[part], 4096).sum() for part in share] for share in made])
        spent += cost.sum()
        waited += ranks * cost.max(axis=0).sum()
    assert spent / waited > 0.975


@given(st.lists(st.integers(1, 40), max_size=80), st.integers(0, 60))
def test_rows_hold_every_sample_once(sizes: list[int], more: int) -> None:
    width = 40 + more
    rows = fill_rows(np.array(sizes, np.int64), width)
    filled = [rows.samples[a:b] for a, b in zip(rows.offsets[:-1], rows.offsets[1:], strict=True)]
    assert sorted(rows.samples.tolist()) == list(range(len(sizes)))
    assert all(0 < sum(sizes[sample] for sample in row) <= width for row in filled)


@given(st.lists(st.integers(1, 40), max_size=80), st.integers(0, 60))
def test_rows_are_as_few_as_best_fit_decreasing_makes(sizes: list[int], more: int) -> None:
    free: list[int] = []
    for size in sorted(sizes, reverse=True):
        room = min((room for room in free if room >= size), default=None)
        if room is not None:
            free.remove(room)
        free.append((40 + more if room is None else room) - size)
    assert len(fill_rows(np.array(sizes, np.int64), 40 + more).offsets) - 1 == len(free)
