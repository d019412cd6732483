"""Figures of MMLU: scores and answers as data, and the table that the user sees. Nothing is written here."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = [
    "METRICS",
    "Scores",
    "answers",
    "digest",
    "probability",
    "score_groups",
    "score_overall",
    "score_task",
    "table",
]

Scores = dict[str, Any]
METRICS = ("acc", "exact_match")
"""What lm-eval calls the share of right answers."""


def answers(samples: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each question of one task with what was answered, from lm-eval's logged samples.

    Returns:
        One dictionary a question: ``question`` (index), ``asked`` (the question alone), ``prompt`` (all that the model
        read, examples included),
        ``choices``, ``answered`` and ``right`` (a choice each), ``correct`` (bool), ``log_likelihoods`` (one a choice,
        in nats) and ``probability`` (of the right choice among the choices). Where the model wrote its answer, as for
        ``mmlu_pro``, there are no choices: ``choices``, ``log_likelihoods`` and ``probability`` are ``None``.
    """
    first = {sample["doc_id"]: sample for sample in reversed(list(samples))}  # of several ways to read an answer
    return [_answer(first[number]) for number in sorted(first)]


def _answer(sample: Mapping[str, Any]) -> dict[str, Any]:
    responses, right = sample["filtered_resps"], sample["target"]
    prompt, doc = sample["arguments"][0][0], sample["doc"]
    asked = str(doc.get("text") or doc.get("question") or prompt)
    row = {"question": sample["doc_id"], "asked": asked, "prompt": prompt}
    correct = bool(next(sample[metric] for metric in METRICS if metric in sample))
    if not isinstance(responses[0], tuple | list):
        written = {"choices": None, "answered": responses[0], "right": right, "correct": correct}
        return row | written | {"log_likelihoods": None, "probability": None}
    choices = _choices(sample, len(responses))
    likelihoods = [float(response[0]) for response in responses]
    if any(map(math.isnan, likelihoods)):
        raise ValueError("the model answers with what is no number: its weights are broken")
    answered = max(range(len(choices)), key=likelihoods.__getitem__)  # the first of equals, as numpy.argmax
    right = right if isinstance(right, int) else choices.index(right) if right in choices else int(right)
    return row | {
        "choices": choices,
        "answered": choices[answered],
        "right": choices[right],
        "correct": correct,
        "log_likelihoods": likelihoods,
        "probability": probability(likelihoods, right),
    }


def _choices(sample: Mapping[str, Any], number: int) -> list[str]:
    """The choices in the record, else what was put after the prompt."""
    choices = sample["doc"].get("choices")
    if isinstance(choices, list) and len(choices) == number and all(isinstance(choice, str) for choice in choices):
        return list(choices)
    return [pair[1].strip() for pair in sample["arguments"][:number]]


def probability(log_likelihoods: Sequence[float], choice: int) -> float:
    """The probability of one choice, if the answer must be one of the choices (a softmax)."""
    most = max(log_likelihoods)
    shares = [math.exp(value - most) for value in log_likelihoods]
    return shares[choice] / sum(shares)


def digest(rows: Iterable[Mapping[str, Any]]) -> str:
    """SHA-256 over what was asked: equal for two runs that put the same questions in the same words."""
    asked = [[row["prompt"], row["choices"], row["right"]] for row in rows]
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()


def score_task(name: str, results: Mapping[str, Any]) -> Scores:
    """The figures of one task in lm-eval's results."""
    found = results["results"][name]
    key = next(key for metric in METRICS for key in found if key.split(",")[0] == metric)
    metric, way = key.split(",")
    error = found[f"{metric}_stderr,{way}"]  # "N/A" for a single question
    score: Scores = {
        "acc": found[key],
        "acc_stderr": error if isinstance(error, float) else None,
        "questions": results["n-samples"][name]["effective"],
        "few_shots": results["n-shot"][name],
    }
    if f"acc_norm,{way}" in found:
        score["acc_norm"] = found[f"acc_norm,{way}"]
    return score


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
    way = "with" if found["apply_chat_template"] else "without"
    return "\n".join([f"asked {way} the chat template of the model: {found['chat_template']}", *lines])
