"""The scores of runs, one table a benchmark: a row for each figure, a column for each run, and differences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ilab_cli.backends.report.answers import Asked
from ilab_cli.backends.report.compare import Change, Difference, changes, difference, paired
from ilab_cli.backends.report.folders import RunFolder
from ilab_cli.backends.report.scores import BENCHMARKS, Evaluation, Figure, Scored

__all__ = ["Board", "Line", "boards"]


@dataclass(frozen=True)
class Line:
    """A row: figures by run, and for each run but the first how far it is from that; ``None`` where it has none."""

    group: str
    name: str
    figures: list[Figure | None]
    differences: list[Difference | None]


@dataclass(frozen=True)
class Board:
    """A benchmark's table.

    Attributes:
        benchmark: its name in ``scores.json``.
        title: what it is called.
        share: whether scores are shares from 0 to 1; else they are points from 1 to 10.
        evaluations: the runs that have scores of it, in the order of the columns.
        lines: the rows.
        changed: for each run but the first, what changed question by question.
    """

    benchmark: str
    title: str
    share: bool
    evaluations: list[Evaluation]
    lines: list[Line]
    changed: list[Change | None]

    def scored(self, evaluation: Evaluation) -> Scored:
        """What the benchmark said of one of the runs."""
        return evaluation.benchmarks[self.benchmark]

    def about(self) -> list[tuple[list[RunFolder], dict[str, str]]]:
        """How the runs were asked, those that were asked alike together."""
        found: list[tuple[list[RunFolder], dict[str, str]]] = []
        for evaluation in self.evaluations:
            about = self.scored(evaluation).about
            alike = next((runs for runs, other in found if other == about), None)
            if alike is not None:
                alike.append(evaluation.run)
            elif about:
                found.append(([evaluation.run], about))
        return found

    def place(self, value: float) -> float:
        """Where a score stands on the scale, in percent of its length."""
        along = value if self.share else (value - 1) / 9
        return round(100 * min(1.0, max(0.0, along)), 2)


def boards(evaluations: Sequence[Evaluation], asked: dict[str, Asked]) -> list[Board]:
    """The tables of all benchmarks that any run has scores of.

    Args:
        evaluations: the evaluations.
        asked: question by question what was answered, by benchmark, for those of which that is known.
    """
    return [
        _board(name, [run for run in evaluations if name in run.benchmarks], asked.get(name))
        for name in BENCHMARKS
        if any(name in run.benchmarks for run in evaluations)
    ]


def _board(name: str, evaluations: list[Evaluation], asked: Asked | None) -> Board:
    figures = [evaluation.benchmarks[name].figures for evaluation in evaluations]
    parts = {part for of_run in figures for group, part in of_run if group in ("task", "category")}
    pairs = [_pairs(evaluations, column, asked, parts) for column in range(1, len(evaluations))]
    lines = []
    for key in dict.fromkeys(key for of_run in figures for key in of_run):
        row = [of_run.get(key) for of_run in figures]
        base = row[0]
        differences = [
            difference(base, other, of_pair.get("" if key[0] in ("overall", "group") else key[1], ()))
            if base and other
            else None
            for other, of_pair in zip(row[1:], pairs, strict=True)
        ]
        lines.append(Line(*key, row, differences))
    share = name.startswith("mmlu")
    changed = [changes(of_pair.get("", ()), share=share) for of_pair in pairs]
    return Board(name, BENCHMARKS[name], share, evaluations, lines, changed)


def _pairs(
    evaluations: list[Evaluation], column: int, asked: Asked | None, parts: set[str]
) -> dict[str, list[tuple[float, float]]]:
    """What two runs came to for the same questions, by part and all together, of the parts that the benchmark has."""
    if asked is None:
        return {}
    base, other = (asked.runs.index(evaluations[at].run.number) for at in (0, column))
    found = paired(asked, base, other)
    return found | {"": [pair for part in sorted(parts & found.keys()) for pair in found[part]]}
