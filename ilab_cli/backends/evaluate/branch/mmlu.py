"""``mmlu_branch``: the questions that generation wrote of each leaf, to the model before training and after."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ilab_cli.backends.evaluate import results
from ilab_cli.backends.evaluate.branch import leaves
from ilab_cli.backends.evaluate.branch.base import base_model
from ilab_cli.backends.evaluate.mmlu import ask
from ilab_cli.backends.evaluate.model import Model
from ilab_cli.backends.hardware import free_memory
from ilab_profiles import Evaluate

__all__ = ["NAME", "score", "table"]

NAME = "mmlu_branch"
_FILE = "answers_"


def score(evaluate: Evaluate, model: Model, folder: Path) -> dict[str, Any]:
    """Ask both models, and compare them leaf by leaf; what each answered lies in ``mmlu_branch`` in a folder.

    Args:
        evaluate: the settings; ``mmlu`` says which tasks are asked, and how.
        model: the trained model.
        folder: where the answers go. A model that was asked already is not asked again.

    Returns:
        what MMLU gives for the trained model; ``base`` with that of the other one, called ``base_model``; ``leaves``
        with a comparison of each task, and ``all`` of them together.

    Raises:
        InputError: if the task files, the questions or the base model are refused.
    """
    base = base_model(evaluate)
    found = {which: _scored(evaluate, each, folder / NAME / which) for which, each in _both(base, model)}
    right = {which: _answers(folder / NAME / which) for which in found}
    common = [leaf for leaf in right["base"] if leaf in right["model"]]
    before, after = ([each for leaf in common for each in right[which][leaf]] for which in ("base", "model"))
    return {
        **found["model"],
        "base_model": base.name,
        "base": {name: found["base"][name] for name in ("score", "stderr")},
        "all": leaves.by_answers(before, after),
        "leaves": {leaf: leaves.by_answers(right["base"][leaf], right["model"][leaf]) for leaf in common},
    }


def table(found: dict[str, Any]) -> str:
    """The comparison as text, shares of right answers in percent."""
    return leaves.table(NAME, found, ".1%")


def _both(base: Model, model: Model) -> list[tuple[str, Model]]:
    return [("base", base), ("model", model)]


def _scored(evaluate: Evaluate, model: Model, folder: Path) -> dict[str, Any]:
    scores = results.begun(folder, model)
    if "mmlu" not in scores["benchmarks"]:
        scores["benchmarks"]["mmlu"] = ask.score(evaluate, model, folder)
        results.write(folder, scores)
        free_memory()
    found: dict[str, Any] = scores["benchmarks"]["mmlu"]
    return found


def _answers(folder: Path) -> dict[str, list[bool]]:
    """Which questions were answered right, by task, in the order of the questions."""
    found = {}
    for file in sorted(folder.glob(f"{_FILE}*.jsonl")):
        rows = [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line]
        rows.sort(key=lambda row: row["question"])
        found[file.stem.removeprefix(_FILE)] = [bool(row["correct"]) for row in rows]
    return found
