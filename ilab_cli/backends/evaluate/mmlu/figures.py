"""Figures of MMLU: scores and answers as data, and the table that the user sees. Nothing is written here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["Scores", "answers", "score_groups", "score_overall", "table"]

Scores = dict[str, Any]


def answers(samples: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each question of one task with what was answered, from lm-eval's logged samples.

    Returns:
        One dictionary a question: ``question`` (index), ``prompt`` (text that was asked, examples included),
        ``choices``, ``answered`` and ``right`` (a choice each), ``correct`` (bool) and ``log_likelihoods`` (one a
        choice, in nats).
    """
    rows = []
    for sample in samples:
        choices = list(sample["doc"]["choices"])
        likelihoods = [float(response[0]) for response in sample["filtered_resps"]]
        answered = max(range(len(choices)), key=likelihoods.__getitem__)  # the first of equals, as numpy.argmax
        rows.append(
            {
                "question": sample["doc_id"],
                "prompt": sample["arguments"][0][0],
                "choices": choices,
                "answered": choices[answered],
                "right": choices[sample["target"]],
                "correct": bool(sample["acc"]),
                "log_likelihoods": likelihoods,
            }
        )
    return rows


def score_overall(tasks: Mapping[str, Scores]) -> Scores:
    """The share of right answers over all questions: the mean of the tasks weighted by their questions.

    The standard error is that of a mean of n answers, √(p(1-p)/(n-1)), as lm-eval gives it for a task.
    """
    questions = sum(score["questions"] for score in tasks.values())
    acc = sum(score["acc"] * score["questions"] for score in tasks.values()) / questions
    error = math.sqrt(acc * (1 - acc) / (questions - 1)) if questions > 1 else None
    return {"acc": acc, "acc_stderr": error, "questions": questions}


def score_groups(tasks: Mapping[str, Scores], groups: Mapping[str, tuple[list[str], bool]]) -> dict[str, Scores]:
    """The score of each group: over its questions, or the plain mean of its tasks where its file asks for that."""
    scores = {}
    for name, (members, by_size) in groups.items():
        scores[name] = score_overall({member: tasks[member] for member in members})
        if not by_size:
            mean = sum(tasks[member]["acc"] for member in members) / len(members)
            scores[name] |= {"acc": mean, "acc_stderr": None}
    return scores


def table(found: Mapping[str, Any]) -> str:
    """The scores, as ``scores.json`` holds them, as lines of aligned text, accuracy in percent."""
    tasks, groups, overall = found["tasks"], found["groups"], found["overall"]
    rows = [("task", "questions", "accuracy", "+/-")]
    named = {**tasks, **{f"group {name}": score for name, score in groups.items()}, "overall": overall}
    for name, score in named.items():
        error = score["acc_stderr"]
        rows.append((name, str(score["questions"]), f"{score['acc']:.1%}", "" if error is None else f"{error:.1%}"))
    width = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [f"{a:<{width[0]}}  {b:>{width[1]}}  {c:>{width[2]}}  {d:>{width[3]}}".rstrip() for a, b, c, d in rows]
    return "\n".join(lines)
