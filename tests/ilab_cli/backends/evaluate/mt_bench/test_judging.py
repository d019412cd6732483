"""What a judge is shown, and which score is read from what it says."""

from __future__ import annotations

import pytest

from ilab_cli.backends.client.requests import Answer
from ilab_cli.backends.evaluate.mt_bench.judging import messages, score_in
from ilab_cli.backends.evaluate.mt_bench.questions import JudgePrompt, Question, read
from tests.ilab_cli.backends.evaluate.mt_bench.conftest import OURS

BENCH = read(OURS)
MATH = next(question for question in BENCH.questions if question.category == "math")
WRITING = BENCH.questions[0]


@pytest.mark.parametrize(
    ("said", "score"),
    [
        ("Good. Rating: [[7]]", 7),
        ("Rating: [[ 8.5 ]]", 8.5),
        ("Rating: [6]", 6),
        ("As the form [[5]] asks: Rating: [[9]]", 9),
        ("See [1] and [2]. Rating: [[10]]", 10),
        ("<think>Perhaps [[2]]</think>Rating: [[9]]", 9),
        ("<think>Perhaps [[2]]", None),
        ("Rating: [[11]]", None),
        ("Rating: [[0]]", None),
        ("Rating: [[-3]]", None),
        ("Rating: [[0]], or [4]", None),
        ("It fails for numbers[3], rows[1][2] and f(x)[4].", None),
        ("Rating: 7", None),
        ("Rating: [[rating]]", None),
        ("", None),
    ],
)
def test_the_last_rating_in_double_brackets_counts_else_in_single_ones(said: str, score: float | None) -> None:
    assert score_in(Answer(said, "stop")) == score


def test_a_judgement_that_was_cut_short_has_no_rating_in_single_brackets() -> None:
    assert score_in(Answer("As source [3] says", "length")) is None
    assert score_in(Answer("Rating: [[3]]. Because", "length")) == 3


def test_the_first_turn_is_judged_alone() -> None:
    system, user = messages(WRITING, ["Dear neighbour"], BENCH.prompts, "some-judge")
    assert (system["role"], user["role"]) == ("system", "user")
    assert WRITING.turns[0] in user["content"]
    assert "Dear neighbour" in user["content"]
    assert WRITING.turns[1] not in user["content"]


def test_the_second_turn_is_judged_with_the_first() -> None:
    chat = messages(WRITING, ["Dear neighbour", "Dear human"], BENCH.prompts, "some-judge")
    assert all(text in chat[-1]["content"] for text in (*WRITING.turns, "Dear neighbour", "Dear human"))
    assert "second turn only" in chat[0]["content"]


def test_the_judge_of_a_calculation_sees_the_right_answers() -> None:
    first = messages(MATH, ["81"], BENCH.prompts, "some-judge")[-1]["content"]
    assert MATH.references[0] in first
    assert MATH.references[1] not in first
    second = messages(MATH, ["81", "61"], BENCH.prompts, "some-judge")[-1]["content"]
    assert all(text in second for text in MATH.references)


def test_braces_in_an_answer_are_text() -> None:
    assert "{question} {0} {{x}}" in messages(WRITING, ["{question} {0} {{x}}"], BENCH.prompts, "j")[-1]["content"]


@pytest.mark.parametrize(("judge", "roles"), [("Mixtral-8x7B", ["user"]), ("gpt-x", ["system", "user"])])
def test_a_family_without_a_system_role_gets_that_text_in_the_turn_of_the_user(judge: str, roles: list[str]) -> None:
    chat = messages(WRITING, ["a"], BENCH.prompts, judge)
    assert [message["role"] for message in chat] == roles
    assert "fair and exact judge" in chat[0]["content"]


def test_an_empty_system_text_is_no_message() -> None:
    prompts = {"single-v1": JudgePrompt(" ", "{question} {answer}")}
    assert messages(Question(1, "stem", 0.1, ("q",)), ["a"], prompts, "j") == [{"role": "user", "content": "q a"}]
