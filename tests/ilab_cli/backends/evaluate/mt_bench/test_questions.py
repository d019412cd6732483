"""The three files are read as published, and every hole in them is told at its line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ilab_cli.backends.evaluate.mt_bench.questions import PROMPTS, REFERENCED, read
from ilab_profiles import InputError
from tests.ilab_cli.backends.evaluate.mt_bench.conftest import OURS, rows, write_rows

PUBLISHED = Path(__file__).parents[6] / "shared" / "mt_bench"


def refused(folder: Path) -> list[str]:
    """What is told: file, line and message."""
    with pytest.raises(InputError) as raised:
        read(folder)
    return [f"{Path(each.position.source).name}:{each.position.line}: {each.message}" for each in raised.value.findings
            if each.position]  # fmt: skip


def spoil(file: Path, line: int, change: Callable[[Any], Any]) -> None:
    content = rows(file)
    content[line - 1] = change(content[line - 1])
    write_rows(file, [row for row in content if row is not None])


def test_our_own_questions_cover_every_category() -> None:
    bench = read(OURS)
    categories = Counter(question.category for question in bench.questions)
    assert len(categories) == 8
    temperatures = {question.category: question.temperature for question in bench.questions}
    assert {name for name, degree in temperatures.items() if degree == 0} == REFERENCED | {"extraction"}
    assert [temperatures[name] for name in ("writing", "roleplay", "stem", "humanities")] == [0.7, 0.7, 0.1, 0.1]
    assert set(bench.prompts) == set(PROMPTS)
    assert set(bench.hashes) == {"question.jsonl", "judge_prompts.jsonl", "reference_answer/by_hand.jsonl"}
    for question in bench.questions:
        assert len(question.turns) == 2
        assert len(question.references) == (2 if question.category in REFERENCED else 0)


def test_the_published_ones_are_read_as_they_are() -> None:
    if not PUBLISHED.is_dir():
        pytest.skip("needs ../shared/mt_bench")
    bench = read(PUBLISHED)
    assert len(bench.questions) == 80
    assert sum(bool(question.references) for question in bench.questions) == 30


def test_of_several_files_of_answers_the_one_of_the_judge_is_taken(data: Path) -> None:
    write_rows(data / "reference_answer" / "aaa.jsonl", [])
    own = data / "reference_answer" / "judge-1.jsonl"
    (data / "reference_answer" / "by_hand.jsonl").rename(own)
    assert "reference_answer/judge-1.jsonl" in read(data, "some-org/judge-1").hashes
    with pytest.raises(InputError, match="no reference answer"):
        read(data, "another")


@pytest.mark.parametrize(
    ("file", "line", "change", "told"),
    [
        ("question.jsonl", 2, lambda row: row | {"turns": row["turns"][:1]}, "2: question 2 needs two turns"),
        ("question.jsonl", 2, lambda row: row | {"turns": ["a", " "]}, "2: question 2 needs two turns"),
        ("question.jsonl", 3, lambda row: row | {"question_id": 1}, "3: question 1 stands in line 1 already"),
        ("question.jsonl", 1, lambda row: {"question_id": 1, "turns": row["turns"]}, "1: a question needs"),
        ("question.jsonl", 1, lambda row: "x", "1: a question must be a JSON object"),
        ("question.jsonl", 1, lambda row: row | {"category": "math"}, "1: question 1 of the category math has no ref"),
        ("reference_answer/by_hand.jsonl", 1, lambda row: None, "4: question 4 of the category reasoning has no ref"),
        (
            "reference_answer/by_hand.jsonl",
            1,
            lambda row: row | {"choices": [{"turns": ["one"]}]},
            "4: question 4 of the category reasoning has a reference answer to one of its two turns only",
        ),
        ("reference_answer/by_hand.jsonl", 2, lambda row: row | {"choices": []}, "2: a reference answer needs"),
        ("reference_answer/by_hand.jsonl", 2, lambda row: row | {"question_id": 4}, "2: question 4 has a reference"),
        ("judge_prompts.jsonl", 1, lambda row: None, "0: the prompt single-v1 is missing"),
        ("judge_prompts.jsonl", 2, lambda row: row | {"name": "single-v1"}, "2: there are two prompts single-v1"),
        ("judge_prompts.jsonl", 1, lambda row: row | {"system_prompt": None}, "1: a judge prompt needs"),
        (
            "judge_prompts.jsonl",
            1,
            lambda row: row | {"prompt_template": "{question}"},
            "1: the prompt single-v1 lacks the placeholder {answer}",
        ),
        (
            "judge_prompts.jsonl",
            4,
            lambda row: row | {"prompt_template": row["prompt_template"] + "{answer_3}"},
            "4: the prompt single-math-v1-multi-turn has an unknown placeholder {answer_3}",
        ),
        (
            "judge_prompts.jsonl",
            1,
            lambda row: row | {"prompt_template": row["prompt_template"] + "{"},
            "1: single-v1: Single '{' encountered",
        ),
    ],
)  # fmt: skip
def test_every_hole_is_told_at_its_line(data: Path, file: str, line: int, change: Any, told: str) -> None:
    spoil(data / file, line, change)
    found = refused(data)
    name = "question.jsonl" if "of the category" in told else Path(file).name
    assert any(each.startswith(f"{name}:{told}") for each in found), found


def test_all_is_told_at_once(data: Path) -> None:
    spoil(data / "question.jsonl", 1, lambda row: row | {"turns": []})
    spoil(data / "judge_prompts.jsonl", 3, lambda row: row | {"prompt_template": "{question_1}"})
    spoil(data / "reference_answer" / "by_hand.jsonl", 1, lambda row: {})
    assert len(refused(data)) >= 5


def test_files_that_are_not_there(tmp_path: Path) -> None:
    assert refused(tmp_path) == [
        "question.jsonl:0: cannot be read: No such file or directory",
        "judge_prompts.jsonl:0: cannot be read: No such file or directory",
    ]


def test_a_file_without_questions(data: Path) -> None:
    (data / "question.jsonl").write_text("")
    assert refused(data) == ["question.jsonl:0: holds no question"]
