"""Verdicts on leaves: improved, regressed or unchanged, by a paired test; and the table of them. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ilab_cli.backends.evaluate.compare import verdict
from ilab_cli.backends.evaluate.paired import mcnemar, paired_bootstrap
from ilab_cli.output import columns

__all__ = ["by_answers", "by_scores", "table"]

_LINES = 30
"""Most leaves in a table."""


def by_answers(base: Sequence[bool], model: Sequence[bool]) -> dict[str, Any]:
    """Compare two models by which of the same questions each answered right, with McNemar's exact test.

    Returns:
        ``base`` and ``model``, the share of right answers; ``better`` and ``worse``, the questions that one of them
        alone has right; ``p`` and ``verdict``.
    """
    pairs = list(zip(base, model, strict=True))
    better, worse = pairs.count((False, True)), pairs.count((True, False))
    p = mcnemar(better, worse)
    return {
        "base": sum(base) / len(base),
        "model": sum(model) / len(model),
        "questions": len(pairs),
        "better": better,
        "worse": worse,
        "p": p,
        "verdict": verdict(better - worse, p),
    }


def by_scores(base: Mapping[Any, float], model: Mapping[Any, float]) -> dict[str, Any]:
    """Compare two models by their scores for the same questions, with a paired bootstrap.

    Args:
        base: scores of the model before training, by question.
        model: those of the trained one. Questions that lack either are left out.

    Returns:
        ``base`` and ``model``, the mean scores; ``difference`` and its 95 % ``interval``; ``p`` and ``verdict``; all of
        them ``None`` (and the verdict ``unchanged``) where no question has both scores.
    """
    both = [name for name in base if name in model]
    if not both:
        nothing = dict.fromkeys(("base", "model", "difference", "interval", "p"))
        return {**nothing, "questions": 0, "verdict": "unchanged"}
    differences = [model[name] - base[name] for name in both]
    low, high, p = paired_bootstrap(differences)
    mean = sum(differences) / len(both)
    return {
        "base": sum(base[name] for name in both) / len(both),
        "model": sum(model[name] for name in both) / len(both),
        "questions": len(both),
        "difference": mean,
        "interval": [low, high],
        "p": p,
        "verdict": verdict(mean, p),
    }


def table(name: str, found: Mapping[str, Any], form: str) -> str:
    """The leaves as text, those that changed first where there are many.

    Args:
        name: the benchmark.
        found: what ``scores.json`` holds of it: ``leaves``, and ``all`` together.
        form: how a figure is written, for example ``.1%``.
    """
    leaves = dict(found["leaves"])
    if more := max(0, len(leaves) - _LINES):
        changed = sorted(leaves, key=lambda leaf: leaves[leaf]["verdict"] == "unchanged")
        leaves = {leaf: leaves[leaf] for leaf in changed[:_LINES]}
    rows = [_row(name, found["all"], form), *(_row(f"  {leaf}", part, form) for leaf, part in leaves.items())]
    text = columns(["benchmark", "before", "after", "questions", "p", ""], rows)
    verdicts = [part["verdict"] for part in found["leaves"].values()]
    counts = (f"{verdicts.count(word)} {word}" for word in ("improved", "regressed", "unchanged"))
    note = f"{', '.join(counts)}; compared with {found['base_model']}"
    return "\n".join([text, *([f"  … and {more} more leaves"] if more else []), note])


def _row(name: str, part: Mapping[str, Any], form: str) -> list[str]:
    figures = ["" if part[key] is None else format(part[key], form) for key in ("base", "model")]
    p = "" if part["p"] is None else f"{part['p']:.3f}"
    return [name, *figures, f"{part['questions']:9}", p, part["verdict"]]
