"""How a training ended: what came of it, from its rows of metrics and what lies in its folder, or why it failed."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ilab_cli.backends.base import is_full
from ilab_cli.backends.outcome import Outcome
from ilab_cli.backends.train import forecast
from ilab_cli.backends.train.checkpoint import BEST
from ilab_profiles import Train
from ilab_profiles.diagnostics import counted

__all__ = ["FAILURE", "LOG", "failure", "metrics", "outcome"]

FAILURE = "failure.txt"
"""File in the run folder in which the process that failed first leaves the reason."""
LOG = "train.log"
"""File in the run folder that has what the workers print beside their messages."""
_END_OF_LOG = 20_000  # bytes, more than torchrun's account of how its processes ended
_KILLED = r"exitcode\s*:\s*-9\b|Signal 9 \(SIGKILL\)"
"""How torchrun says that a process was killed."""


def outcome(train: Train) -> Outcome:
    """The model, what the loss came down from, and how fast it went."""
    rows = metrics(train)
    figures: dict[str, Any] = {}
    lines = tuple(_losses(train))
    if rows:
        figures = {"steps": len(rows), "first_loss": rows[0]["loss"], "last_loss": rows[-1]["loss"]}
        figures["tokens_per_second"] = _speed(rows)
    last = Path(train.runs()[-1].output_dir)
    if held := [row for row in metrics(train.runs()[-1]) if row.get("valid_loss") is not None]:
        lowest = min(held, key=lambda row: row["valid_loss"])
        figures |= {
            "last_valid_loss": held[-1]["valid_loss"],
            "best_valid_loss": lowest["valid_loss"],
            "best_step": lowest["step"],
        }
        best = f", the lowest {lowest['valid_loss']:.4f} at step {lowest['step']:,}" if lowest != held[-1] else ""
        lines += (f"validation loss {held[0]['valid_loss']:.4f} -> {held[-1]['valid_loss']:.4f}{best}",)
    if compared := forecast.side_by_side(train):
        figures["predicted_and_measured"] = compared
        lines += tuple(filter(None, [forecast.in_words(compared)]))
    command = ("ilab", "model", "evaluate", "--benchmarks", "mmlu", "--model", train.trained_model)
    made = {"model": train.trained_model}
    if (best_checkpoint := last / "checkpoints" / BEST).exists():
        made["best checkpoint"] = str(best_checkpoint)
    return Outcome(made, figures, lines, command)


def _losses(train: Train) -> Iterator[str]:
    """What the loss came down from in the training, or in each of its phases, and how fast that went."""
    for name, run in zip(train.phase_names or [""], train.runs(), strict=True):
        if rows := metrics(run):
            steps = counted(f"{len(rows):,}", "steps")
            loss = f"loss {rows[0]['loss']:.4f} -> {rows[-1]['loss']:.4f}"
            yield f"{name and f'{name}: '}{loss} in {steps}, {_speed(rows):,.0f} tokens/s"


def _speed(rows: list[dict[str, Any]]) -> float:
    return float(statistics.median(row["tokens_per_second"] for row in rows))


def metrics(train: Train) -> list[dict[str, Any]]:
    """The rows that a training has written so far, those of its phases one after another."""
    return [row for run in train.runs() for row in forecast.rows(Path(run.output_dir))]


def failure(train: Train) -> str:
    """Why a training failed that ended with 1."""
    folders = [Path(phase.output_dir) for phase in train.runs()]
    told = next((folder / FAILURE for folder in folders if (folder / FAILURE).is_file()), None)
    if told:
        return told.read_text(encoding="utf-8") or "the reason could not be written: the disk is full"
    if is_full(folders[0]):
        return f"no space is left in {folders[0]}"
    return _silent_end(folders)


def _silent_end(folders: Sequence[Path]) -> str:
    """Why a process ended that left no word: a process that the system kills for its memory has no time for one."""
    folder = next((each for each in reversed(folders) if (each / LOG).is_file()), folders[0])
    try:
        end = (folder / LOG).read_bytes()[-_END_OF_LOG:].decode(errors="replace")
    except OSError:
        end = ""
    if not re.search(_KILLED, end):
        return "a process ended without an error message, maybe killed for lack of memory"
    from ilab_cli.backends.train.memory import compared

    return f"a process was killed (signal 9), as the system does where memory runs out{compared(folder)}"
