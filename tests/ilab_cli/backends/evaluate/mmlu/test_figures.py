"""Scores are weighted as they say, and the table is plain and aligned."""

from __future__ import annotations

import math
from typing import Any

import pytest

from ilab_cli.backends.evaluate.mmlu.figures import Scores, answers, digest, score_groups, score_overall, table

TASKS: dict[str, Scores] = {
    "a": {"acc": 1.0, "acc_stderr": 0.0, "questions": 30},
    "b": {"acc": 0.0, "acc_stderr": None, "questions": 10},
}


def test_the_overall_score_counts_questions() -> None:
    overall = score_overall(TASKS)
    assert overall["acc"] == 0.75
    assert overall["questions"] == 40
    assert overall["acc_stderr"] == pytest.approx((0.75 * 0.25 / 39) ** 0.5)
    assert score_overall({"b": {"acc": 1.0, "questions": 1}})["acc_stderr"] is None


def test_a_group_counts_questions_or_tasks_as_its_file_says() -> None:
    groups = score_groups(TASKS, {"by_size": (["a", "b"], True), "by_task": (["a", "b"], False)})
    assert groups["by_size"]["acc"] == 0.75
    assert groups["by_task"]["acc"] == 0.5


def test_the_table() -> None:
    way = {"apply_chat_template": False, "chat_template": "the model has none"}
    text = table({"tasks": TASKS, "groups": {}, "overall": score_overall(TASKS), **way})
    assert text.splitlines() == [
        "asked without the chat template of the model: the model has none",
        "task     questions  accuracy   +/-",
        "a               30    100.0%  0.0%",
        "b               10      0.0%",
        "overall         40     75.0%  6.9%",
    ]


def sample(number: int, **more: Any) -> dict[str, Any]:
    """A question as lm-eval logs it."""
    choices = [(f"Question {number}?", letter) for letter in "AB"]
    asked = {"doc_id": number, "doc": {"choices": ["ash", "elm"]}, "arguments": choices, "target": 1}
    return {**asked, "filtered_resps": [(-1.0, False), (-2.0, False)], "acc": 0.0, **more}


def test_the_probability_is_that_of_the_right_choice_among_the_choices() -> None:
    (row,) = answers([sample(0)])
    assert (row["answered"], row["right"], row["correct"]) == ("ash", "elm", False)
    assert row["probability"] == pytest.approx(math.exp(-2) / (math.exp(-1) + math.exp(-2)))
    (far,) = answers([sample(0, filtered_resps=[(-2000.0, False), (-2000.0, False)])])
    assert far["probability"] == 0.5


def test_an_answer_that_was_written_has_no_choices() -> None:
    written = sample(3, filtered_resps=["B"], target="B", exact_match=1.0)
    del written["acc"]
    first, second = answers([written, {**written, "exact_match": 0.0}, sample(1)])
    assert first["question"] == 1
    assert {key: second[key] for key in ("answered", "right", "correct", "choices", "probability")} == {
        "answered": "B",
        "right": "B",
        "correct": True,  # by the first of two ways to read it
        "choices": None,
        "probability": None,
    }


def test_the_digest_is_of_what_is_asked_not_of_what_is_answered() -> None:
    one, other = answers([sample(0)]), answers([sample(0, filtered_resps=[(-3.0, False), (-2.0, True)], acc=1.0)])
    assert digest(one) == digest(other)
    assert digest(one) != digest(answers([sample(0, target=0)]))
