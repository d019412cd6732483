"""Questions with several choices, made of what is known about each leaf of knowledge, as task files of lm-eval.

What is asked are the pairs that people wrote, which are not trained on; wrong choices are other answers of the same
leaf. ``ilab model evaluate --benchmarks mmlu --data-dir FOLDER`` runs them as they are.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ilab_cli.backends.generate.output import Pair
from ilab_cli.backends.jsonl import as_lines
from ilab_profiles.models.evaluate import Mmlu
from ilab_profiles.yaml.files import make_folder, write_atomically
from ilab_profiles.yaml.write import dump

__all__ = ["FOLDER", "GROUP", "write"]

FOLDER = "mmlu"
"""Folder of the task files in that of the run."""
GROUP: str = Mmlu.model_fields["tasks"].get_default()[0]
"""Group of all tasks: the one that evaluation asks for by default."""
_CHOICES = 4
_FEW_SHOTS: int = Mmlu.model_fields["few_shots"].get_default()
_METRICS = ("acc", "acc_norm")


def write(folder: Path, asked: Iterable[Pair], known: Iterable[Pair], seed: int) -> int:
    """Write a task (YAML and JSONL) for each leaf of knowledge with at least two answers; earlier ones are taken away.

    Args:
        folder: folder of the run; the files go to ``mmlu`` in it.
        asked: the pairs to make questions of.
        known: other pairs, whose answers serve as wrong choices where those of ``asked`` do not suffice.
        seed: seed of the choices and their order.

    Returns:
        the number of questions.

    Raises:
        InputError: if a file cannot be written.
    """
    asked = [pair for pair in asked if pair.kind == "knowledge"]
    answers, more = _answers(asked), _answers(known)
    questions: dict[str, list[dict[str, Any]]] = {}
    for pair in {(pair.leaf, _plain(pair.question)): pair for pair in asked}.values():
        wrong = _wrong(pair, answers[pair.leaf])
        if len(wrong) < _CHOICES - 1:
            wrong = _wrong(pair, [*answers[pair.leaf], *more.get(pair.leaf, ())])
        if wrong:
            draw = random.Random(f"{seed}:{pair.leaf}:{pair.question}")
            questions.setdefault(pair.leaf, []).append(_question(pair, wrong, draw))
    names = _names(sorted(questions))
    for leaf, name in names.items():
        file = folder / FOLDER / f"{name}.jsonl"
        make_folder(file)
        write_atomically(file, as_lines(questions[leaf]))
        write_atomically(file.with_suffix(".yaml"), dump(_task(name, len(questions[leaf]))))
    for stale in [*(folder / FOLDER).glob("*.yaml"), *(folder / FOLDER).glob("*.jsonl")]:
        if stale.stem not in names.values():
            stale.unlink()
    return sum(map(len, questions.values()))


def _answers(pairs: Iterable[Pair]) -> dict[str, list[str]]:
    """The answers of each leaf."""
    answers: dict[str, list[str]] = {}
    for pair in pairs:
        answers.setdefault(pair.leaf, []).append(pair.response)
    return answers


def _wrong(pair: Pair, answers: Iterable[str]) -> list[str]:
    """Answers that differ from the right one, none of which is part of it or holds it; the nearest in length first."""
    right = _plain(pair.response)
    others = {plain: text for text in answers if not ((plain := _plain(text)) in right or right in plain)}
    return sorted(others.values(), key=lambda text: (abs(len(text) - len(pair.response)), text))


def _question(pair: Pair, wrong: Sequence[str], draw: random.Random) -> dict[str, Any]:
    """A question with its answer among wrong ones of about the same length."""
    near = wrong[: 2 * (_CHOICES - 1)]
    right = _one_line(pair.response)
    choices = [right, *map(_one_line, draw.sample(near, min(len(near), _CHOICES - 1)))]
    draw.shuffle(choices)
    return {
        "question": _one_line(pair.question),
        "choices": choices,
        "answer": choices.index(right),
        "leaf": pair.leaf,
    }


def _task(name: str, questions: int) -> dict[str, Any]:
    """The task file of one leaf. One with too few questions to show solved ones before each shows none."""
    return {
        "task": name,
        "tag": GROUP,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": f"{name}.jsonl"}},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "question",
        "doc_to_choice": "choices",
        "doc_to_target": "answer",
        **({"num_fewshot": 0} if questions <= _FEW_SHOTS else {}),
        "metric_list": [{"metric": name, "aggregation": "mean", "higher_is_better": True} for name in _METRICS],
    }


def _names(leaves: Sequence[str]) -> dict[str, str]:
    """A name for the task of each leaf: its path with ``_`` for ``/``, and a number where two would be the same."""
    names: dict[str, str] = {}
    for leaf in leaves:
        name = plain = leaf.replace("/", "_")
        number = 2
        while name in names.values():
            name, number = f"{plain}_{number}", number + 1
        names[leaf] = name
    return names


def _plain(text: str) -> str:
    """A text as it is compared: without case, line breaks and the full stop at its end."""
    return _one_line(text.casefold()).rstrip(".")


def _one_line(text: str) -> str:
    """A text without the line breaks of the file that it stands in, which would give the answer away."""
    return " ".join(text.split())
