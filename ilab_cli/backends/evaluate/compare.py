"""Two or more evaluations of the same questions beside each other: what got better, what worse, and how sure that is.

Each is compared with the first one. Accuracy is told apart by McNemar's exact test on the questions that one of the two
has right, scores of a judge by a paired bootstrap over questions.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from ilab_cli.backends.evaluate.paired import mcnemar, paired_bootstrap
from ilab_cli.backends.evaluate.results import CHECKPOINTS, FILE
from ilab_profiles import Finding, InputError, Position

__all__ = ["Answered", "Comparison", "Difference", "compare", "read", "verdict"]

SURE = 0.05
"""Probability of a difference by chance alone, from which on it counts as none."""
_OVERALL = "overall"


class Key(NamedTuple):
    """Which question: ``benchmark``, ``task`` or category, and its number there."""

    benchmark: str
    task: str
    number: str


@dataclass(frozen=True, slots=True)
class Answered:
    """What an evaluation found for each question.

    Attributes:
        name: the run folder, as given.
        model: the model's name.
        points: for each question 0 or 1, or the mean of a judge's scores.
        asked: for each question what was asked, so that only the same is compared.
    """

    name: str
    model: str
    points: Mapping[Key, float]
    asked: Mapping[Key, str]


@dataclass(frozen=True, slots=True)
class Difference:
    """One task, or all, in two evaluations.

    Attributes:
        benchmark: its benchmark.
        task: its name; ``overall`` for all of the benchmark.
        questions: questions that both were asked.
        base: the mean of the first evaluation.
        model: the mean of the other one.
        improved: questions that are better in the other one.
        regressed: questions that are worse.
        p: probability of as large a difference by chance alone.
        verdict: ``improved``, ``regressed``, or ``unchanged`` where chance would do.
    """

    benchmark: str
    task: str
    questions: int
    base: float
    model: float
    improved: int
    regressed: int
    p: float
    verdict: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """One evaluation beside the first.

    Attributes:
        base: the first run folder.
        run: the other one.
        differences: of each task that has questions in common, and of each benchmark.
        changes: questions that got better or worse: ``benchmark``, ``task``, ``question``, and what each came to.
        apart: questions that only one of them was asked.
    """

    base: str
    run: str
    differences: tuple[Difference, ...]
    changes: tuple[dict[str, Any], ...]
    apart: int

    def as_data(self) -> dict[str, Any]:
        """The comparison as JSON has it."""
        return asdict(self)


def compare(folders: Sequence[str]) -> list[Comparison]:
    """Compare each evaluation with the first.

    Args:
        folders: run folders of evaluations; of one of checkpoints the best is meant.

    Raises:
        InputError: with everything that cannot be read, or if two have no question in common.
    """
    read_ones: list[Answered] = []
    findings: list[Finding] = []
    for folder in folders:
        try:
            read_ones.append(read(folder))
        except InputError as error:
            findings += error.findings
    if findings:
        raise InputError(findings)
    first, *others = read_ones
    return [_beside(first, other) for other in others]


def read(folder: str) -> Answered:
    """What an evaluation found.

    Raises:
        InputError: if the folder is none of a finished evaluation.
    """
    place = Path(folder)
    scores = _scores(place)
    if scores.get("form") == "checkpoints":
        place = place / CHECKPOINTS / scores["best"]
        scores = _scores(place)
    points: dict[Key, float] = {}
    asked: dict[Key, str] = {}
    for benchmark in scores["benchmarks"]:
        at = place / benchmark / "model" if benchmark.endswith("_branch") else place
        rows = _judged(at, benchmark) if "mt_bench" in benchmark else _chosen(at, benchmark)
        for key, point, question in rows:
            points[key], asked[key] = point, question
    return Answered(folder, str(scores["model"]), points, asked)


def _scores(folder: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((folder / FILE).read_text(encoding="utf-8"))
        if found["benchmarks" if found["form"] == "model" else "best"]:
            return found
    except (OSError, ValueError, LookupError, TypeError):
        pass
    what = f"{folder} has no {FILE} of a finished evaluation" if os.path.isdir(folder) else f"{folder} is no folder"
    hint = "name the folder that `ilab model evaluate` prints as `scores and answers`"
    raise InputError(Finding("no-evaluation", what, hint=hint))


def _chosen(folder: Path, benchmark: str) -> Iterator[tuple[Key, float, str]]:
    for file in sorted(folder.glob("answers_*.jsonl")):
        task = file.stem.removeprefix("answers_")
        for row in _rows(file, ("question", "prompt", "choices", "right", "correct")):
            key = Key(benchmark, task, str(row["question"]))
            told = json.dumps([row.get("asked", row["prompt"]), row["choices"], row["right"]])
            yield key, float(bool(row["correct"])), told


def _judged(folder: Path, benchmark: str) -> Iterator[tuple[Key, float, str]]:
    """A question's points are the mean over its turns; one that could not be judged is left out."""
    turns: dict[Key, list[Mapping[str, Any]]] = {}
    for row in _rows(folder / "judgements.jsonl", ("question_id", "category", "question", "score")):
        turns.setdefault(Key(benchmark, str(row["category"]), str(row["question_id"])), []).append(row)
    for key, rows in turns.items():
        if all(row["score"] is not None for row in rows):
            yield key, fmean(row["score"] for row in rows), json.dumps([row["question"] for row in rows])


def _row(line: str, needed: Sequence[str], place: Position) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError:
        raise InputError(Finding("bad-answers", "not valid JSON", position=place)) from None
    if not isinstance(row, dict):
        raise InputError(Finding("bad-answers", "the line is no object", position=place))
    if lost := [name for name in needed if name not in row]:
        raise InputError(Finding("bad-answers", f"the line lacks {', '.join(lost)}", position=place))
    return row


def _rows(file: Path, needed: Sequence[str]) -> Iterator[dict[str, Any]]:
    try:
        for number, line in enumerate(file.read_text(encoding="utf-8").split("\n"), start=1):
            if line:
                yield _row(line, needed, Position(str(file), number))
    except OSError as error:
        place = Position(str(file))
        raise InputError(Finding("bad-answers", f"cannot be read: {error.strerror}", position=place)) from None


# --- two beside each other --------------------------------------------------------------------------------------------


def _beside(first: Answered, other: Answered) -> Comparison:
    both = [key for key in first.points if first.asked[key] == other.asked.get(key)]
    if not both:
        message = f"{first.name} and {other.name} have no question in common"
        raise InputError(Finding("nothing-to-compare", message, hint="name evaluations of the same tasks"))
    groups: dict[tuple[str, str], list[Key]] = {}
    for key in both:
        groups.setdefault((key.benchmark, key.task), []).append(key)
    for benchmark in dict.fromkeys(key.benchmark for key in both):
        groups[benchmark, _OVERALL] = [key for key in both if key.benchmark == benchmark]
    pairs = {key: (first.points[key], other.points[key]) for key in both}
    differences = [
        _difference(benchmark, task, [pairs[key] for key in keys]) for (benchmark, task), keys in groups.items()
    ]
    changes = [
        {**dict(zip(("benchmark", "task", "question"), key, strict=True)), "base": before, "model": after}
        for key, (before, after) in pairs.items()
        if before != after
    ]
    apart = len(first.points.keys() | other.points.keys()) - len(both)
    return Comparison(first.name, other.name, tuple(differences), tuple(changes), apart)


def _difference(benchmark: str, task: str, pairs: Sequence[tuple[float, float]]) -> Difference:
    better = sum(after > before for before, after in pairs)
    worse = sum(after < before for before, after in pairs)
    judged = "mt_bench" in benchmark
    p = paired_bootstrap([after - before for before, after in pairs])[2] if judged else mcnemar(better, worse)
    before, after = (fmean(column) for column in zip(*pairs, strict=True))
    return Difference(benchmark, task, len(pairs), before, after, better, worse, p, verdict(after - before, p))


def verdict(difference: float, p: float) -> str:
    """A difference in a word."""
    if p >= SURE or not difference:
        return "unchanged"
    return "improved" if difference > 0 else "regressed"
