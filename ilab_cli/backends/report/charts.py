"""Charts: which curves stand in which, and what each shows in a sentence, for who cannot see it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ilab_cli.backends.report.curves import Curve
from ilab_cli.backends.report.scores import BENCHMARKS, Evaluation
from ilab_cli.backends.report.training import METRICS, Training

__all__ = ["of_checkpoints", "of_trainings"]

Chart = dict[str, Any]

_ABOUT = {
    "loss": "The mean over the learned tokens of each step; with dots, on data that are not trained on.",
    "learning_rate": "What each step was taken with.",
    "grad_norm": "Before it is clipped; a rise of it often comes before one of the loss.",
    "tokens_per_second": "How fast each step went, all processes together.",
    "memory": "The most that a process held until then.",
}


def of_trainings(trainings: Sequence[Training]) -> list[Chart]:
    """The charts of trainings, of all runs over each other; validation loss stands among the loss."""
    charts = []
    for metric, about in _ABOUT.items():
        shown = [metric, "valid_loss"] if metric == "loss" else [metric]
        series = [
            _line(training, name, training.curves[name])
            for training in trainings
            for name in shown
            if name in training.curves
        ]
        if series:
            told = [_told(training, name) for training in trainings for name in shown if name in training.summaries]
            marks = [{"x": at, "label": name} for training in trainings for at, name in training.phases]
            charts.append(
                {
                    "id": metric,
                    "title": METRICS[metric],
                    "about": about,
                    "told": " ".join(told),
                    "x": "conversations",
                    "form": "bytes" if metric == "memory" else "plain",
                    "series": series,
                    "marks": marks if len(trainings) == 1 else [],
                }
            )
    return charts


def _line(training: Training, name: str, curve: Curve) -> dict[str, Any]:
    held_out = name == "valid_loss"
    return {
        "run": training.run.number,
        "label": f"{training.run.key} validation" if held_out else training.run.key,
        "dots": held_out,
        "x": curve.x,
        "y": curve.y,
    }


def _told(training: Training, name: str) -> str:
    of = training.summaries[name]
    return (
        f"{METRICS[name]} of {training.run.key}: {of.first:.4g} at first, {of.last:.4g} in the end, "
        f"lowest {of.lowest:.4g} at {of.lowest_at:,.0f}, "
        f"highest {of.highest:.4g} at {of.highest_at:,.0f} conversations."
    )


def of_checkpoints(evaluations: Sequence[Evaluation]) -> list[Chart]:
    """A chart of the scores of checkpoints, and one for each benchmark where there are several."""
    evaluations = [evaluation for evaluation in evaluations if evaluation.checkpoints]
    names = dict.fromkeys(
        name for evaluation in evaluations for item in evaluation.checkpoints for name in item.benchmarks
    )
    if not evaluations:
        return []
    charts = [_scores(evaluations, "", "Score of checkpoints")]
    if len(names) > 1:
        charts += [_scores(evaluations, name, f"{BENCHMARKS[name]} of checkpoints") for name in names]
    return charts


def _scores(evaluations: Sequence[Evaluation], benchmark: str, title: str) -> Chart:
    series, told = [], []
    for evaluation in evaluations:
        points = [
            (item.samples, item.benchmarks.get(benchmark) if benchmark else item.score, item.low, item.high)
            for item in evaluation.checkpoints
        ]
        kept = [point for point in points if point[1] is not None]
        x, y, low, high = ([point[at] for point in kept] for at in range(4))
        line = {"run": evaluation.run.number, "label": evaluation.run.key, "dots": True, "x": x, "y": y}
        series.append(line if benchmark else line | {"low": low, "high": high})
        best = next((item.name for item in evaluation.checkpoints if item.best), "none")
        told.append(f"{len(kept)} checkpoints of {evaluation.run.key}; the best is {best}.")
    about = "Bars are intervals of 95%." if not benchmark else ""
    return {
        "id": f"checkpoints_{benchmark or 'all'}",
        "title": title,
        "about": about,
        "told": " ".join(told),
        "x": "conversations",
        "form": "plain",
        "series": series,
        "marks": [],
    }
