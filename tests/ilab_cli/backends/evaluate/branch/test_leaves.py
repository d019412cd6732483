"""Verdicts on leaves, from the same questions to two models."""

from __future__ import annotations

import pytest

from ilab_cli.backends.evaluate.branch.leaves import by_answers, by_scores, table


@pytest.mark.parametrize(
    ("better", "worse", "verdict"),
    [(10, 0, "improved"), (0, 10, "regressed"), (5, 0, "unchanged"), (6, 5, "unchanged"), (0, 0, "unchanged")],
)
def test_answers_are_compared_question_by_question(better: int, worse: int, verdict: str) -> None:
    base = [False] * better + [True] * worse + [True, False]
    model = [True] * better + [False] * worse + [True, False]
    found = by_answers(base, model)
    assert (found["better"], found["worse"], found["verdict"]) == (better, worse, verdict)
    assert found["base"] == pytest.approx((worse + 1) / (better + worse + 2))


def test_scores_are_compared_question_by_question() -> None:
    base = {number: 3.0 + number % 5 for number in range(12)}
    better = by_scores(base, {number: score + 1 + number % 2 for number, score in base.items()})
    assert (better["verdict"], better["difference"], better["questions"]) == ("improved", 1.5, 12)
    assert 1 <= better["interval"][0] < better["interval"][1] <= 2
    assert by_scores({number: score + 2 for number, score in base.items()}, base)["verdict"] == "regressed"
    assert by_scores(base, base)["verdict"] == "unchanged"
    assert by_scores({1: 2.0, 2: 2.0}, {1: 9.0, 2: 9.0})["verdict"] == "unchanged"  # of two questions nothing is sure


def test_what_lacks_a_score_is_left_out() -> None:
    assert by_scores({1: 2.0, 2: 4.0}, {2: 6.0, 3: 1.0})["questions"] == 1
    nothing = by_scores({1: 2.0}, {2: 2.0})
    assert (nothing["base"], nothing["p"], nothing["verdict"]) == (None, None, "unchanged")


def test_of_many_leaves_those_that_changed_are_shown() -> None:
    same, up = by_answers([True, False], [True, False]), by_answers([False] * 9, [True] * 9)
    leaves = {f"leaf{number}": up if number == 38 else same for number in range(40)}
    lines = table("mmlu_branch", {"leaves": leaves, "all": same, "base_model": "b"}, ".1%").splitlines()
    assert lines[2].split() == ["leaf38", "0.0%", "100.0%", "9", "0.004", "improved"]
    assert lines[-2:] == ["  … and 10 more leaves", "1 improved, 0 regressed, 39 unchanged; compared with b"]
