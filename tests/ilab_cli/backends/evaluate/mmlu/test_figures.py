"""Scores are weighted as they say, and the table is plain and aligned."""

from __future__ import annotations

import pytest

from ilab_cli.backends.evaluate.mmlu.figures import Scores, score_groups, score_overall, table

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
    text = table({"tasks": TASKS, "groups": {}, "overall": score_overall(TASKS)})
    assert text.splitlines() == [
        "task     questions  accuracy   +/-",
        "a               30    100.0%  0.0%",
        "b               10      0.0%",
        "overall         40     75.0%  6.9%",
    ]
