"""Evaluations beside each other: what is compared with what, and what is said of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ilab_cli.backends.evaluate.compare import compare, read
from ilab_cli.backends.evaluate.paired import mcnemar
from ilab_profiles import InputError
from tests.programs import Ilab


def evaluation(folder: Path, tasks: dict[str, Sequence[bool]], judged: Sequence[tuple[str, float | None]] = ()) -> Path:
    """A folder as an evaluation leaves it: for each task which questions are right, and a judge's scores."""
    folder.mkdir(parents=True)
    benchmarks = {"mmlu": {"score": 0.5, "stderr": None}} | ({"mt_bench": {"score": 5.0}} if judged else {})
    (folder / "scores.json").write_text(json.dumps({"form": "model", "model": "m", "benchmarks": benchmarks}))
    for task, right in tasks.items():
        rows = [
            {"question": number, "choices": ["A", "B"], "right": "A", "answered": "AB"[not correct], "correct": correct}
            | {"prompt": f"Is it {number}?"}
            for number, correct in enumerate(right)
        ]
        write(folder / f"answers_{task}.jsonl", rows)
    rows = [
        {"question_id": number // 2, "category": name, "turn": number % 2 + 1, "question": f"{number}", "score": score}
        for number, (name, score) in enumerate(judged)
    ]
    write(folder / "judgements.jsonl", rows)
    return folder


def write(file: Path, rows: Sequence[dict[str, Any]]) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_what_improved_and_what_regressed(ilab: Ilab, tmp_path: Path) -> None:
    one = evaluation(tmp_path / "one", {"a": [True] * 4 + [False] * 16, "b": [True, False, True]})
    two = evaluation(tmp_path / "two", {"a": [False] + [True] * 15 + [False] * 4, "b": [True, False, True]})
    (found,) = compare([str(one), str(two)])
    by_task = {each.task: each for each in found.differences}
    a = by_task["a"]
    assert (a.questions, a.base, a.model, a.improved, a.regressed) == (20, 0.2, 0.75, 12, 1)
    assert (a.p, a.verdict) == (mcnemar(12, 1), "improved")
    assert (by_task["b"].verdict, by_task["b"].p) == ("unchanged", 1.0)
    assert (by_task["overall"].questions, by_task["overall"].verdict) == (23, "improved")
    assert [(row["task"], row["question"], row["base"], row["model"]) for row in found.changes[:2]] == [
        ("a", "0", 1.0, 0.0),
        ("a", "4", 0.0, 1.0),
    ]
    assert {each.task: each.verdict for each in compare([str(two), str(one)])[0].differences}["a"] == "regressed"

    done = ilab("model", "compare", str(one), str(two), str(one))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("beside") == 2
    assert any(
        line.split() == ["a", *"20 20.0% 75.0% +55.0% 12 1 0.003 improved".split()] for line in done.stdout.splitlines()
    )
    told = json.loads(ilab("model", "compare", str(one), str(two), "--json").stdout)
    assert told == [json.loads(json.dumps(found.as_data()))]


def test_a_judges_scores_are_compared_by_question(tmp_path: Path) -> None:
    pytest.importorskip("numpy")
    low = [("writing", 2.0), ("writing", 4.0)] * 6 + [("math", 5.0), ("math", None)]
    high = [("writing", 6.0), ("writing", 7.0)] * 6 + [("math", 5.0), ("math", 5.0)]
    one, two = (evaluation(tmp_path / name, {}, rows) for name, rows in (("one", low), ("two", high)))
    (found,) = compare([str(one), str(two)])
    writing = found.differences[0]
    assert (writing.task, writing.questions, writing.base, writing.model) == ("writing", 6, 3.0, 6.5)
    assert (writing.improved, writing.verdict) == (6, "improved")
    assert found.apart == 1, "what could not be judged is not compared"


def test_only_the_same_questions_are_compared(tmp_path: Path) -> None:
    one = evaluation(tmp_path / "one", {"a": [True] * 3, "b": [True]})
    two = evaluation(tmp_path / "two", {"a": [True] * 5, "c": [True]})
    rows = [json.loads(line) for line in (two / "answers_a.jsonl").read_text().splitlines()]
    write(two / "answers_a.jsonl", [rows[0] | {"choices": ["C", "A"]}, rows[1] | {"prompt": "Else?"}, *rows[2:]])
    (found,) = compare([str(one), str(two)])
    assert [(each.task, each.questions) for each in found.differences] == [("a", 1), ("overall", 1)]
    assert found.apart == 6
    for folder in (one, two):
        rows = [json.loads(line) for line in (folder / "answers_a.jsonl").read_text().splitlines()]
        write(folder / "answers_a.jsonl", [{**row, "asked": "Is it?", "prompt": folder.name} for row in rows])
    assert compare([str(one), str(two)])[0].differences[0].questions == 2, "with other examples before it"
    with pytest.raises(InputError, match="nothing-to-compare"):
        compare([str(one), str(evaluation(tmp_path / "three", {"d": [True]}))])


def test_branches_are_compared_by_the_trained_models_answers(tmp_path: Path) -> None:
    for name, right in (("one", [False] * 8), ("two", [True] * 8)):
        below = evaluation(tmp_path / name / "mmlu_branch" / "model", {"leaf": right})
        evaluation(tmp_path / name / "mmlu_branch" / "base", {"leaf": [False] * 8})
        scores = json.loads((below / "scores.json").read_text())
        scores["benchmarks"] = {"mmlu_branch": scores["benchmarks"]["mmlu"]}
        (tmp_path / name / "scores.json").write_text(json.dumps(scores))
    (found,) = compare([str(tmp_path / "one"), str(tmp_path / "two")])
    assert [(each.benchmark, each.task, each.verdict) for each in found.differences] == [
        ("mmlu_branch", "leaf", "improved"),
        ("mmlu_branch", "overall", "improved"),
    ]


def test_of_checkpoints_the_best_is_meant(tmp_path: Path) -> None:
    best = evaluation(tmp_path / "run" / "checkpoints" / "samples_0000010", {"a": [True]})
    (tmp_path / "run" / "scores.json").write_text(json.dumps({"form": "checkpoints", "best": best.name}))
    assert [*read(str(tmp_path / "run")).points.values()] == [1.0]


def test_what_cannot_be_compared_is_refused_all_at_once(ilab: Ilab, tmp_path: Path) -> None:
    one = evaluation(tmp_path / "one", {"a": [True]})
    broken = evaluation(tmp_path / "broken", {"a": [True]})
    (broken / "answers_a.jsonl").write_text('{"question": 0\n')
    done = ilab("model", "compare", str(one), str(broken), "nowhere", str(tmp_path))
    assert done.returncode == 2
    assert f"{broken / 'answers_a.jsonl'}:1: error[bad-answers] not valid JSON" in done.stderr
    assert done.stderr.count("error[no-evaluation]") == 2
    (broken / "answers_a.jsonl").write_text('["\u2028"]\n{"question": 0}\n')
    done = ilab("model", "compare", str(one), str(broken))
    assert done.returncode == 2
    assert f"{broken / 'answers_a.jsonl'}:1: error[bad-answers] the line is no object" in done.stderr
    assert ilab("model", "compare", str(one)).returncode == 2
    refused = ilab("model", "evaluate", "--benchmarks", "mmlu", "--against", "nowhere")
    assert refused.returncode == 2
    assert "--against: error[no-evaluation] evaluate.against: nowhere is no folder" in refused.stderr
