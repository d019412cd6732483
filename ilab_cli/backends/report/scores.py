"""Scores of an evaluation, whatever the benchmark: rows of one form, each a figure with its interval of 95%."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ilab_cli.backends.report.folders import RunFolder
from ilab_cli.backends.report.rows import mapping, number, object_in, sequence, text
from ilab_profiles.diagnostics import counted

__all__ = ["BENCHMARKS", "Z", "Evaluation", "Figure", "Scored", "read_evaluation"]

BENCHMARKS = {
    "mmlu": "MMLU",
    "mmlu_branch": "MMLU of the branch",
    "mt_bench": "MT-Bench",
    "mt_bench_branch": "MT-Bench of the branch",
}
Z = 1.959964
"""Standard errors on either side of a mean in an interval of 95%."""


@dataclass(frozen=True)
class Figure:
    """A score.

    Attributes:
        group: what kind of row it is: ``overall``, ``group``, ``task``, ``turn`` or ``category``.
        name: of what it is the score; empty for the whole.
        score: a share from 0 to 1, or points from 1 to 10.
        stderr: its standard error, where one is known.
        low: where its interval begins, where there is one.
        high: where it ends.
        count: questions, or judgements.
    """

    group: str
    name: str
    score: float
    stderr: float | None
    low: float | None
    high: float | None
    count: int | None


@dataclass(frozen=True)
class Scored:
    """What a benchmark said of a model: its figures by group and name, remarks, and how it was asked."""

    figures: dict[tuple[str, str], Figure]
    remarks: list[str]
    about: dict[str, str]
    leaves: list[dict[str, Any]]


@dataclass(frozen=True)
class ScoredCheckpoint:
    """A checkpoint with its score; ``broken`` says why it has none."""

    name: str
    samples: int
    score: float | None
    low: float | None
    high: float | None
    benchmarks: dict[str, float | None]
    broken: str
    best: bool


@dataclass
class Evaluation:
    """What is shown of an evaluation.

    Attributes:
        run: the run.
        model: what was evaluated.
        benchmarks: what each benchmark said; of checkpoints, what it said of the best one.
        folder_name: where the answers lie, below the run folder.
        checkpoints: the checkpoints by age, if such were evaluated.
        note: a sentence about them.
    """

    run: RunFolder
    model: str = ""
    benchmarks: dict[str, Scored] = field(default_factory=dict)
    folder_name: str = ""
    checkpoints: list[ScoredCheckpoint] = field(default_factory=list)
    note: str = ""


def read_evaluation(run: RunFolder) -> Evaluation:
    """What a run folder of an evaluation holds; what cannot be read joins the run's findings."""
    data = object_in(run.folder / "scores.json", run.findings)
    found = Evaluation(run, text(data.get("model")))
    if data.get("form") == "checkpoints":
        best = text(data.get("best"))
        listed = [item for item in sequence(data.get("checkpoints")) if isinstance(item, dict)]
        found.checkpoints = [_checkpoint(item, best) for item in listed]
        found.note = text(data.get("note"))
        if any(item.name == best for item in found.checkpoints):
            found.folder_name = f"checkpoints/{best}"
            data = object_in(run.folder / found.folder_name / "scores.json", run.findings)
    for name, said in mapping(data.get("benchmarks")).items():
        if name in BENCHMARKS and isinstance(said, dict):
            found.benchmarks[name] = _scored(name, said)
    return found


def _checkpoint(item: Mapping[str, Any], best: str) -> ScoredCheckpoint:
    score, stderr = number(item.get("score")), number(item.get("stderr"))
    low, high = (None, None) if score is None or stderr is None else (score - Z * stderr, score + Z * stderr)
    scores = {
        name: number(said.get("score")) for name, said in mapping(item.get("benchmarks")).items() if name in BENCHMARKS
    }
    name = text(item.get("name"))
    samples, broken = int(number(item.get("samples"), 12) or 0), text(item.get("broken"))
    return ScoredCheckpoint(name, samples, score, low, high, scores, broken, name == best)


def _scored(name: str, said: Mapping[str, Any]) -> Scored:
    rows = _of_choices(said) if name.startswith("mmlu") else _of_judgements(said)
    figures = {(figure.group, figure.name): figure for figure in rows if figure is not None}
    leaves = [
        {"name": text(leaf), **{key: mapping(of).get(key) for key in ("base", "model", "verdict", "p")}}
        for leaf, of in mapping(said.get("leaves")).items()
    ]
    return Scored(figures, [*_remarks(said)], dict(_about(said)), leaves)


def _of_choices(said: Mapping[str, Any]) -> Iterator[Figure | None]:
    yield _share("overall", "", mapping(said.get("overall")) or {"acc": said.get("score")}, by_questions=True)
    groups = mapping(said.get("groups"))
    for name, of in groups.items():
        yield _share("group", name, mapping(of), by_questions=mapping(of).get("acc_stderr") is not None)
    for name, of in mapping(said.get("tasks")).items():
        yield _share("task", name, mapping(of), by_questions=True)


def _share(group: str, name: str, of: Mapping[str, Any], *, by_questions: bool) -> Figure | None:
    """A share of right answers with Wilson's interval, which holds for few questions and near 0 and 1 too."""
    score, count = number(of.get("acc")), number(of.get("questions"), 12)
    if score is None:
        return None
    low = high = None
    if count and by_questions:
        middle = (score + Z**2 / (2 * count)) / (1 + Z**2 / count)
        half = Z / (1 + Z**2 / count) * math.sqrt(score * (1 - score) / count + Z**2 / (4 * count**2))
        low, high = middle - half, middle + half
    return Figure(group, text(name), score, number(of.get("acc_stderr")), low, high, int(count) if count else None)


def _of_judgements(said: Mapping[str, Any]) -> Iterator[Figure | None]:
    yield _points("overall", "", said)
    for name, of in mapping(said.get("turns")).items():
        yield _points("turn", f"turn {name}", mapping(of))
    for name, of in mapping(said.get("categories")).items():
        yield _points("category", name, mapping(of))


def _points(group: str, name: str, of: Mapping[str, Any]) -> Figure | None:
    score, stderr = number(of.get("score")), number(of.get("stderr"))
    if score is None:
        return None
    ends = [number(end) for end in sequence(of.get("interval"))]
    low, high = ends if len(ends) == 2 else (None, None)
    if (low is None or high is None) and stderr is not None:
        low, high = max(1.0, score - Z * stderr), min(10.0, score + Z * stderr)
    count = number(of.get("judgements"), 12)
    return Figure(group, text(name), score, stderr, low, high, None if count is None else int(count))


def _remarks(said: Mapping[str, Any]) -> Iterator[str]:
    errors, share = number(said.get("errors"), 12), number(said.get("error_share"))
    if errors:
        shown = f" ({share:.1%})" if share is not None else ""
        yield f"{counted(f'{errors:,.0f}', 'judgements')} could not be read as a score{shown}"
    if said.get("trusted") is False:
        yield "the score is not to be trusted: too many judgements are errors"


def _about(said: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, called in (
        ("few_shots", "solved examples"),
        ("apply_chat_template", "chat template"),
        ("judge_model", "judge"),
        ("questions", "questions"),
    ):
        if (value := said.get(name)) is not None and not isinstance(value, dict | list):
            yield called, ("yes" if value else "no") if isinstance(value, bool) else text(value)
    versions = mapping(said.get("versions"))
    if versions:
        yield "versions", ", ".join(f"{text(name)} {text(value)}" for name, value in versions.items())
