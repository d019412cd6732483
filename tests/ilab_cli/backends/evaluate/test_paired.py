"""Tests for pairs of scores."""

from __future__ import annotations

import random

import pytest

from ilab_cli.backends.evaluate.paired import mcnemar, paired_bootstrap


@pytest.mark.parametrize(
    ("better", "worse", "p"),
    [(0, 0, 1.0), (1, 0, 1.0), (5, 0, 2 / 32), (8, 1, 2 * (1 + 9) / 2**9), (5, 5, 1.0), (1, 8, 2 * (1 + 9) / 2**9)],
)
def test_mcnemar_is_exact(better: int, worse: int, p: float) -> None:
    assert mcnemar(better, worse) == pytest.approx(p)


def test_mcnemar_of_many_questions_overflows_nowhere() -> None:
    assert mcnemar(5_100, 4_900) == pytest.approx(0.0466, abs=2e-4)  # about chi-squared with a correction: 0.0467
    assert mcnemar(3_000, 1) < 1e-300


def test_a_clear_difference_has_an_interval_without_zero() -> None:
    draw = random.Random(1)
    low, high, p = paired_bootstrap([draw.gauss(1, 1) for _ in range(80)])
    assert 0.5 < low < 1 < high < 1.5
    assert p < 0.001


def test_noise_is_no_difference() -> None:
    draw = random.Random(4)
    low, high, p = paired_bootstrap([draw.gauss(0, 1) for _ in range(80)])
    assert low < 0 < high
    assert p > 0.05


def test_a_handful_of_questions_proves_nothing() -> None:
    assert paired_bootstrap([2.0]) == (2.0, 2.0, 1.0)
    assert paired_bootstrap([1.0] * 5)[2] == pytest.approx(2 / 32)
    assert paired_bootstrap([0.0] * 20)[2] == 1.0


def test_about_one_comparison_in_twenty_of_equal_models_is_called_different() -> None:
    draw = random.Random(3)
    found = [paired_bootstrap([draw.gauss(0, 1) for _ in range(15)], rounds=500)[2] < 0.05 for _ in range(400)]
    assert 0.02 < sum(found) / len(found) < 0.08


def test_the_same_seed_gives_the_same_figures() -> None:
    differences = [0.5, -1.0, 2.0, 0.0] * 10
    assert paired_bootstrap(differences, seed=7) == paired_bootstrap(differences, seed=7)
    assert paired_bootstrap(differences, seed=7) != paired_bootstrap(differences, seed=8)


def test_nothing_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="nothing to compare"):
        paired_bootstrap([])
