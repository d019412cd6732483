"""Means, errors and intervals of scores; what has no score is an error, never a score."""

from __future__ import annotations

import random
import statistics
from typing import Any

import pytest

from ilab_cli.backends.evaluate.mt_bench.figures import figures, mistrust, table
from ilab_cli.backends.evaluate.mt_bench.judging import Judgement


def judgement(number: int, turn: int, score: float | None, category: str = "math") -> Judgement:
    return Judgement(number, category, turn, "q", "a", None, "j", score, None if score else "no score")


def both(number: int, one: float | None, two: float | None, category: str = "math") -> list[Judgement]:
    return [judgement(number, 1, one, category), judgement(number, 2, two, category)]


def test_means_overall_by_turn_and_by_category() -> None:
    found = figures([*both(1, 4, 6), *both(2, 8, 10, "stem")])
    assert found["score"] == 7
    assert {turn: part["score"] for turn, part in found["turns"].items()} == {"1": 6, "2": 8}
    assert {name: part["score"] for name, part in found["categories"].items()} == {"math": 5, "stem": 9}
    assert (found["questions"], found["judgements"], found["errors"]) == (2, 4, 0)
    assert found["trusted"]


def test_the_standard_error_is_that_of_questions_whose_turns_go_together() -> None:
    one = [judgement(number, 1, score) for number, score in enumerate([2, 4, 9, 7], start=1)]
    assert figures(one)["stderr"] == pytest.approx(statistics.stdev([2, 4, 9, 7]) / 2)
    twice = [each for number, score in enumerate([2, 4, 9, 7], start=1) for each in both(number, score, score)]
    assert figures(twice)["stderr"] == pytest.approx(figures(one)["stderr"])


def test_the_interval_holds_the_mean_and_is_as_wide_as_the_error_says() -> None:
    draw = random.Random(5)
    found = figures([each for number in range(80) for each in both(number, draw.randint(1, 10), draw.randint(1, 10))])
    low, high = found["interval"]
    assert low < found["score"] < high
    assert (high - low) / (2 * 1.96) == pytest.approx(found["stderr"], rel=0.05)
    assert figures([*both(1, 5, 6)])["interval"] is None
    assert figures([*both(1, 5, 6)])["stderr"] is None


def test_an_error_is_no_score() -> None:
    found = figures([*both(1, 4, None), *both(2, 8, 6)])
    assert found["score"] == 6
    assert (found["errors"], found["error_share"], found["trusted"]) == (1, 0.25, False)
    assert found["turns"]["2"] | {"interval": 0} == {
        "score": 6, "stderr": None, "interval": 0, "judgements": 2, "errors": 1,
    }  # fmt: skip


@pytest.mark.parametrize(("lost", "trusted"), [(2, True), (3, False)])
def test_above_a_tenth_the_score_is_not_to_be_trusted(lost: int, trusted: bool) -> None:
    found = figures([each for number in range(10) for each in both(number, 5 if number >= lost else None, 5)])
    assert found["trusted"] is trusted
    assert ("not to be trusted" in mistrust(found)) is not trusted
    assert ("not to be trusted" in table(found | {"judge_model": "j"})) is not trusted


def test_the_table_has_a_line_for_everything() -> None:
    found: Any = figures([*both(1, 4, None), *both(2, 8, 10, "stem"), *both(3, None, None, "coding")])
    lines = table(found | {"judge_model": "a-judge"}).splitlines()
    assert [line.split()[0] for line in lines] == [
        "benchmark",
        "mt_bench",
        "turn",
        "turn",
        "math",
        "stem",
        "coding",
        "3",
    ]
    assert lines[1].split()[1:] == ["7.33", "2.22", "4.00", "to", "9.00", "3", "3"]
    assert lines[6].split() == ["coding", "0", "2"]
    assert "judged by a-judge" in lines[-1]
