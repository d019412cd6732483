"""The plan: every sample once an epoch, within budget, as many steps for every rank, the learning rate."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ilab_profiles import Train

plan = pytest.importorskip("ilab_cli.backends.train.plan", reason="needs the train extra", exc_type=ImportError)

PACKINGS = st.sampled_from(["none", "batch", "full"])
LENGTHS = st.lists(st.integers(1, 50), min_size=1, max_size=60)


@given(lengths=LENGTHS, epochs=st.integers(1, 3), size=st.integers(1, 70), seed=st.integers(0, 9), packing=PACKINGS)
def test_every_sample_is_trained_on_once_an_epoch(
    lengths: list[int], epochs: int, size: int, seed: int, packing: str
) -> None:
    train = Train.model_validate(
        {"num_epochs": epochs, "effective_batch_size": size, "seed": seed, "max_seq_len": 50, "packing": packing}
    )
    made = plan.BatchPlan(train, np.array(lengths))
    for epoch in range(epochs):
        steps = range(epoch * made.steps_per_epoch, (epoch + 1) * made.steps_per_epoch)
        assert sorted(number for step in steps for number in made.batch(step)) == list(range(len(lengths)))
        assert all(len(made.batch(step)) > 0 for step in steps)
        assert packing == "full" or all(len(made.batch(step)) <= size for step in steps)
    for steps_done in range(made.steps + 1):
        seen = [number for step in range(steps_done) for number in made.batch(step)]
        assert made.samples_seen(steps_done) == len(seen)
        assert made.tokens_seen(steps_done) == sum(lengths[number] for number in seen)


@given(lengths=LENGTHS, world_size=st.integers(1, 5), budget=st.integers(50, 400), packing=PACKINGS)
def test_microbatches_keep_the_budget_and_every_rank_has_as_many(
    lengths: list[int], world_size: int, budget: int, packing: str
) -> None:
    train = Train.model_validate(
        {
            "num_gpus": world_size,
            "max_seq_len": 50,
            "max_batch_len": budget,
            "effective_batch_size": 99,
            "packing": packing,
        }
    )
    made = plan.BatchPlan(train, np.array(lengths))
    shares = made.shares(0)
    assert len(shares) == world_size
    assert len({len(share) for share in shares}) == 1
    assert sorted(number for share in shares for part in share for number in part) == list(range(len(lengths)))
    for part in (part for share in shares for part in share if part):
        tokens = [lengths[number] for number in part]
        assert (len(part) * max(tokens) if packing == "none" else sum(tokens)) <= budget
    if packing == "none":
        sizes = [sum(map(len, share)) for share in shares]
        assert max(sizes) - min(sizes) <= 1
    assert any(share[-1] for share in shares), "no step is idle on every rank"


@pytest.mark.parametrize("packing", ["none", "batch"])
def test_a_sample_over_budget_is_refused(packing: str) -> None:
    train = Train.model_validate({"num_gpus": 2, "max_seq_len": 9, "max_batch_len": 50, "packing": packing})
    with pytest.raises(ValueError, match="51 tokens does not fit a microbatch of 50"):
        plan.BatchPlan(train, np.array([3, 51])).shares(0)


def test_rows_of_a_whole_set_are_dealt_out_as_one() -> None:
    """Rows are filled once; what differs from epoch to epoch is their order."""
    train = Train(num_epochs=2, effective_batch_size=8, max_seq_len=100, max_batch_len=100, packing="full")
    lengths = np.array([60, 40, 50, 50] * 8)
    made = plan.BatchPlan(train, lengths)
    assert made.steps_per_epoch == 4, "four rows of two samples on average"
    epochs = [
        {frozenset(part) for step in range(first, first + 4) for part in made.shares(step)[0]} for first in (0, 4)
    ]
    assert epochs[0] == epochs[1]
    assert all(sum(lengths[number] for number in row) == 100 for row in epochs[0])


def test_order_differs_by_epoch_and_seed_and_by_nothing_else() -> None:
    lengths: Any = np.ones(50, int)
    made = plan.BatchPlan(Train(num_epochs=2, effective_batch_size=50), lengths)
    again = plan.BatchPlan(Train(num_epochs=2, effective_batch_size=50, max_batch_len=9999, learning_rate=1.0), lengths)
    other = plan.BatchPlan(Train(num_epochs=2, effective_batch_size=50, seed=1), lengths)
    assert list(made.batch(0)) == list(again.batch(0))
    assert list(made.batch(0)) != list(made.batch(1))
    assert list(made.batch(0)) != list(other.batch(0))
    assert len({made.seed(step, rank) for step in range(9) for rank in range(9)}) == 81


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", [0.25, 0.5, 0.75, 1, 1, 1, 1]),
        ("linear", [0.25, 0.5, 0.75, 1, 0.75, 0.5, 0.25]),
        ("cosine", [0.25, 0.5, 0.75, 1, 0.8535533905932737, 0.5, 0.14644660940672627]),
    ],
)
def test_learning_rate(schedule: str, expected: list[float]) -> None:
    train = Train.model_validate(
        {"learning_rate": 1.0, "warmup_steps": 3, "lr_schedule": schedule, "num_epochs": 7, "effective_batch_size": 2}
    )
    made = plan.BatchPlan(train, np.array([5, 5]))
    assert [made.learning_rate(step) for step in range(made.steps)] == pytest.approx(expected)
