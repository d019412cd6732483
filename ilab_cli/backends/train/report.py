"""What a run tells while it trains: rows of ``metrics.jsonl``, and a bar or plain lines for whoever watches."""

from __future__ import annotations

import json
import math
import os
import sys
import time
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TextIO

from ilab_cli.backends.train.files import replace_file
from ilab_cli.backends.train.launch import LAUNCHED
from ilab_cli.output import level, lively

if TYPE_CHECKING:
    from ilab_cli.backends.train.plan import BatchPlan
    from ilab_cli.backends.train.remaining import Remaining

__all__ = ["Progress", "Watch", "append", "begin", "rewind", "unpacked"]

_SECONDS_BETWEEN_LINES = 10.0
_BAR = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<%s, {rate_fmt}{postfix}]"
"""tqdm's own bar, with our remaining time in place of its own."""


def _stream() -> TextIO:
    """Where messages to people go: to the standard error output of whoever was started by hand.

    The launcher gives workers its own as their standard output, and keeps their standard error output in a log.
    """
    return sys.__stdout__ or sys.stderr if LAUNCHED in os.environ else sys.stderr


def _say(text: str) -> None:
    if level() >= 1:
        print(text, file=_stream(), flush=True)


def begin(samples: int, left_out: int, truncated: int, plan: BatchPlan, done: int) -> None:
    """Tell what is about to be trained."""
    resumed = f", going on after step {done}" if done else ""
    _say(f"training on {samples} conversations in {plan.steps} steps, {plan.tokens_seen(plan.steps):,} tokens{resumed}")
    if left_out:
        _say(f"left out {left_out} conversations longer than train.max_seq_len")
    if truncated:
        _say(f"kept the beginning of {truncated} conversations longer than train.max_seq_len")


def unpacked() -> None:
    """Tell that samples are padded although packing was asked for."""
    _say("samples would see each other in a packed row of this model: they are padded (train.packing: none)")


def append(path: Path, row: dict[str, Any]) -> None:
    """Add one row to a ``metrics.jsonl``, in one write."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def rewind(path: Path, step: int) -> None:
    """Drop the rows after step ``step``, and all from the first one that is not whole."""
    if not path.exists():
        return
    kept: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        if not line.endswith("\n") or _step(line) > step:
            break
        kept.append(line)
    with replace_file(path) as temporary:
        temporary.write_text("".join(kept), encoding="utf-8")


def _step(line: str) -> float:
    """The step of a row; infinity if it is none."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return math.inf


class Watch:
    """Takes the time of a training, between whose steps checkpoints are written and the loss is validated.

    Args:
        remaining: told of it, and asked how long the rest takes.
    """

    def __init__(self, remaining: Remaining) -> None:
        self._remaining = remaining
        self._row = self._last = time.perf_counter()

    def _lap(self) -> float:
        before, self._last = self._last, time.perf_counter()
        return self._last - before

    def stepped(self, step: int) -> None:
        """A step (from 0) is done."""
        self._remaining.stepped(step, self._lap())

    def validated(self) -> None:
        """A validation is done."""
        self._remaining.validated(self._lap())

    def saved(self) -> None:
        """A checkpoint is written."""
        self._remaining.saved(self._lap())

    def row(self, step: int) -> dict[str, float | None]:
        """What a row of metrics has of it: seconds since the last row, and those that are left."""
        seconds, left = self.since_row(), self._remaining.after(step)
        self._row = time.perf_counter()
        return {"seconds": round(seconds, 6), "remaining_seconds": None if left is None else round(left, 3)}

    def since_row(self) -> float:
        """Seconds since the last row of metrics, or since the beginning."""
        return time.perf_counter() - self._row


class Progress:
    """The progress of a run: a bar on a terminal, otherwise a line now and then.

    Args:
        total: optimizer steps of the run.
        done: those done before.
        shown: false to show nothing.
    """

    def __init__(self, total: int, done: int, *, shown: bool) -> None:
        from tqdm import tqdm

        self._shown = shown
        self._last = 0.0
        self._held: dict[str, str] = {}
        bar = shown and lively(_stream())
        self._bar = tqdm(total=total, initial=done, unit="step", file=_stream(), disable=not bar, dynamic_ncols=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()

    def show(self, row: dict[str, Any]) -> None:
        """Show a row of metrics, if it is time for that."""
        if not self._bar.disable:
            self._held |= {"valid": f"{row['valid_loss']:.4f}"} if row.get("valid_loss") is not None else {}
            self._bar.set_postfix(loss=f"{row['loss']:.4f}", **self._held, refresh=False)
            self._bar.bar_format = _BAR % (_left(row) or "?")
            self._bar.update()
        elif self._shown and (
            row["step"] == self._bar.total
            or row.get("valid_loss") is not None
            or time.monotonic() - self._last >= _SECONDS_BETWEEN_LINES
        ):
            self._last = time.monotonic()
            left = f"  {left} left" if (left := _left(row)) else ""
            valid = f"  validation loss {row['valid_loss']:.4f}" if row.get("valid_loss") is not None else ""
            _say(
                f"step {row['step']}/{self._bar.total}  epoch {row['epoch']}  loss {row['loss']:.4f}{valid}  "
                f"learning rate {row['learning_rate']:.3g}  {row['tokens_per_second']:.0f} tokens/s{left}"
            )


def _left(row: dict[str, Any]) -> str:
    """The time that is left after a row of metrics; empty where it is not known yet, or there is hardly any."""
    seconds = round(row["remaining_seconds"] or 0)
    return str(timedelta(seconds=seconds)) if seconds else ""
