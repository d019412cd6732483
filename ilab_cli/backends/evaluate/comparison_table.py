"""Comparisons of evaluations as tables for people."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ilab_cli.backends.evaluate.compare import Comparison, Difference
from ilab_cli.output import columns

__all__ = ["table"]

_HEAD = ("task", "questions", "base", "model", "difference", "improved", "regressed", "p", "verdict")


def table(comparisons: Sequence[Comparison]) -> str:
    """A table for each comparison, under a line that says of what."""
    return "\n\n".join(map(_one, comparisons))


def _one(comparison: Comparison) -> str:
    text = columns(_HEAD, map(_row, comparison.differences), sys.stdout, spare=("improved", "regressed"))
    apart = f"\n{comparison.apart} questions were asked in one of them only" if comparison.apart else ""
    return f"{comparison.run} beside {comparison.base}\n{text}{apart}"


def _row(found: Difference) -> tuple[str, ...]:
    shown = "{:.2f}" if "mt_bench" in found.benchmark else "{:.1%}"
    numbers = [shown.format(value) for value in (found.base, found.model)]
    signed = shown.replace(":", ":+").format(found.model - found.base)
    counts = (str(found.improved), str(found.regressed))
    name = f"{found.benchmark} overall" if found.task == "overall" else found.task
    return (name, str(found.questions), *numbers, signed, *counts, f"{found.p:.3f}", found.verdict)
