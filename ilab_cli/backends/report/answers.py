"""What models answered, question by question: runs that were asked the same stand side by side.

Questions of several choices (``answers_TASK.jsonl``) and judged conversations (``judgements.jsonl``) each become a
table of one row a question, with what each run answered behind it. The text of a question is held once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ilab_cli.backends.report.rows import number, rows_of, sequence, short, tail, text
from ilab_cli.backends.report.scores import Evaluation

__all__ = ["Asked", "read_choices", "read_judgements"]

_LONGEST_PROMPT = 1500
"""Most characters of a prompt that are shown: its end, where the question is."""
_SHARED = 200
"""Least characters that the prompts of a task must share at their beginning for it to be taken off."""
_SAMPLE = 50
"""Prompts of a task that are looked at for what they share."""

Row = list[Any]


@dataclass
class Asked:
    """A table of questions.

    Attributes:
        runs: the runs' numbers, in the order of the answers in each row.
        facets: names that rows refer to by their place: tasks, or categories.
        rows: questions with the answers of each run, see the two functions that make them.
        values: for each run, a figure for each row that it answered: 1 or 0 for right or wrong, or a score.
        questions: the rows of each question: one, or one for each turn.
        before: what stands before every question of a task, by task.
    """

    runs: list[int]
    facets: list[str] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    values: list[dict[int, float]] = field(default_factory=list)
    questions: dict[Any, list[int]] = field(default_factory=dict)
    before: dict[str, str] = field(default_factory=dict)

    def facet(self, name: str) -> int:
        """The place of a name among the facets, where it is put if it is new."""
        if name not in self.facets:
            self.facets.append(name)
        return self.facets.index(name)


def read_choices(evaluations: Sequence[Evaluation]) -> Asked:
    """Questions of several choices.

    Returns:
        rows of task, question, choices, place of the right one, and for each run 0 where it was not asked, else the
        place of its answer (or -1) and the probability of the right choice (or null).
    """
    table = Asked([evaluation.run.number for evaluation in evaluations])
    places: dict[tuple[Any, ...], int] = {}
    for column, evaluation in enumerate(evaluations):
        values: dict[int, float] = {}
        folder = evaluation.run.folder / evaluation.folder_name
        for file in sorted(folder.glob("answers_*.jsonl")):
            task = file.stem.removeprefix("answers_")
            facet, shared = table.facet(text(task)), _shared(file)
            if shared:
                table.before.setdefault(text(task), short(shared))
            for line in rows_of(file, evaluation.run.findings):
                choices = [text(choice) for choice in sequence(line.get("choices"))]
                key = (facet, str(line.get("question")), *choices, text(line.get("right")))
                if key not in places:
                    places[key] = len(table.rows)
                    table.questions[key] = [places[key]]
                    question = tail(text(line.get("prompt")).removeprefix(shared), _LONGEST_PROMPT)
                    row = [facet, question, [short(choice, 400) for choice in choices], _place(choices, "right", line)]
                    table.rows.append([*row, [0] * len(evaluations)])
                place = places[key]
                probability = number(line.get("probability"), 4)
                table.rows[place][4][column] = [_place(choices, "answered", line), probability]
                values[place] = float(bool(line.get("correct")))
        table.values.append(values)
    return table


def _place(choices: list[str], name: str, line: Mapping[str, Any]) -> int:
    """The place among the choices of the one that a line names; -1 if it names none of them."""
    choice = text(line.get(name))
    return choices.index(choice) if choice in choices else -1


def _shared(file: Path) -> str:
    """What the prompts of a task begin with, as solved examples do; empty if that is little."""
    prompts = [text(row.get("prompt")) for row, _ in zip(rows_of(file, []), range(_SAMPLE), strict=False)]
    if len(prompts) < 2:
        return ""
    first, last = min(prompts), max(prompts)  # what these two begin with, all do
    alike = next((at for at, (one, other) in enumerate(zip(first, last, strict=False)) if one != other), len(first))
    begin, end, _ = first[:alike].rpartition("\n\n")
    return begin + end if len(begin) >= _SHARED else ""


def read_judgements(evaluations: Sequence[Evaluation]) -> Asked:
    """Judged conversations.

    Returns:
        rows of category, name of the question, turn, question, reference (or empty), and for each run 0 where it was
        not asked, else its answer, the judgement, the score (or null) and the error (or empty).
    """
    table = Asked([evaluation.run.number for evaluation in evaluations])
    places: dict[tuple[str, ...], int] = {}
    for column, evaluation in enumerate(evaluations):
        values: dict[int, float] = {}
        file = evaluation.run.folder / evaluation.folder_name / "judgements.jsonl"
        for line in rows_of(file, evaluation.run.findings):
            name, turn, question = (text(line.get(part)) for part in ("question_id", "turn", "question"))
            key = (name, turn, question)
            if key not in places:
                places[key] = len(table.rows)
                table.questions.setdefault(name, []).append(places[key])
                row = [table.facet(text(line.get("category"))), name, turn, short(question)]
                table.rows.append([*row, short(line.get("reference")), [0] * len(evaluations)])
            score = number(line.get("score"))
            said = [short(line.get(part)) for part in ("answer", "judgement")]
            table.rows[places[key]][5][column] = [*said, score, short(line.get("error"))]
            if score is not None:
                values[places[key]] = score
        table.values.append(values)
    return table
