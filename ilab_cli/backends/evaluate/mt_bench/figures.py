"""Figures of MT-Bench: means of scores with what they may be off by, and the table that people see.

The questions are what is drawn anew for an interval, not the judgements: the two turns of one question go together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ilab_cli.backends.evaluate.mt_bench.judging import Judgement
from ilab_cli.output import columns

__all__ = ["TRUSTED", "figures", "mistrust", "table"]

TRUSTED = 0.1
"""Share of errors up to which a score is to be trusted."""
_ROUNDS = 10_000
_SEED = 0


def figures(judgements: Sequence[Judgement]) -> dict[str, Any]:
    """What ``scores.json`` tells of judgements: overall, by turn and by category, in points from 1 to 10."""
    turns = sorted({judgement.turn for judgement in judgements})
    categories = dict.fromkeys(judgement.category for judgement in judgements)
    whole = _figures(judgements)
    share = whole["errors"] / whole["judgements"]
    return {
        "score": whole["score"],
        "stderr": whole["stderr"],
        "interval": whole["interval"],
        "turns": {str(turn): _figures([each for each in judgements if each.turn == turn]) for turn in turns},
        "categories": {name: _figures([each for each in judgements if each.category == name]) for name in categories},
        "questions": len({judgement.question_id for judgement in judgements}),
        "judgements": whole["judgements"],
        "errors": whole["errors"],
        "error_share": share,
        "trusted": share <= TRUSTED,
    }


def _figures(judgements: Sequence[Judgement]) -> dict[str, Any]:
    """Mean, standard error and interval of some judgements; those without a score are errors, and only counted."""
    scores: dict[int | str, list[float]] = {}
    for each in judgements:
        if each.score is not None:
            scores.setdefault(each.question_id, []).append(each.score)
    sums, numbers = [sum(found) for found in scores.values()], [len(found) for found in scores.values()]
    return {
        "score": sum(sums) / sum(numbers) if numbers else None,
        "stderr": _error(sums, numbers),
        "interval": _interval(sums, numbers),
        "judgements": len(judgements),
        "errors": len(judgements) - sum(numbers),
    }


def _error(sums: Sequence[float], numbers: Sequence[int]) -> float | None:
    """The standard error of a mean whose parts come in groups; ``None`` for fewer than two groups."""
    if (count := len(sums)) < 2:
        return None
    mean = sum(sums) / sum(numbers)
    squares = sum((part - mean * number) ** 2 for part, number in zip(sums, numbers, strict=True))
    return math.sqrt(count / (count - 1) * squares) / sum(numbers)


def _interval(sums: Sequence[float], numbers: Sequence[int]) -> list[float] | None:
    """The 95 % interval of a mean, by drawing its groups anew; ``None`` for fewer than two groups."""
    import numpy as np

    if (count := len(sums)) < 2:
        return None
    drawn = np.random.default_rng(_SEED).multinomial(count, [1 / count] * count, size=_ROUNDS)
    means = (drawn @ np.asarray(sums)) / (drawn @ np.asarray(numbers))
    return [float(end) for end in np.percentile(means, [2.5, 97.5])]


def mistrust(found: dict[str, Any]) -> str:
    """Why a score is not to be trusted; empty if it is."""
    if found["trusted"]:
        return ""
    return (
        f"{found['errors']} of {found['judgements']} answers got no score ({found['error_share']:.0%}; "
        f"more than {TRUSTED:.0%}): the score is not to be trusted"
    )


def table(found: dict[str, Any], name: str = "mt_bench") -> str:
    """The figures as text: overall, by turn and by category."""
    parts = {
        name: found,
        **{f"  turn {turn}": part for turn, part in found["turns"].items()},
        **{f"  {category}": part for category, part in found["categories"].items()},
    }
    head = ["benchmark", "score", "+/-", "95% interval", "judged", "errors"]
    lines = [columns(head, [_row(*part) for part in parts.items()]), _note(found)]
    return "\n".join(lines)


def _row(name: str, part: dict[str, Any]) -> list[str]:
    interval = "{:.2f} to {:.2f}".format(*part["interval"]) if part["interval"] else ""
    score, error = (f"{part[key]:.2f}" if part[key] is not None else "" for key in ("score", "stderr"))
    numbers = (f"{part['judgements'] - part['errors']:6}", f"{part['errors'] or '':>6}")
    return [name, f"{score:>5}", error, interval, *numbers]


def _note(found: dict[str, Any]) -> str:
    judged = f"{found['questions']} questions, judged by {found['judge_model']}"
    lost = f"{found['errors']} answers got no score ({found['error_share']:.1%})" if found["errors"] else ""
    return "; ".join(filter(None, [judged, mistrust(found) or lost]))
