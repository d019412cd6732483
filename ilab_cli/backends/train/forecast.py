"""What is foretold of a training, and what comes of it, side by side: memory, time and disk.

Its main process keeps both in ``forecast.json`` in the run folder, or in that of each phase: the estimates when it
starts, so that they are there if it does not end well, and what no row of metrics tells when it ends. How long it takes
is foretold after some steps, by the row of metrics of that time. Loads nothing heavy.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ilab_cli.backends.base import memory_in_words, size_in_words, time_in_words
from ilab_cli.backends.train.files import replace_file, written
from ilab_profiles import Train

__all__ = ["FILE", "begin", "end", "in_words", "read", "rows", "side_by_side"]

FILE = "forecast.json"
"""File in the run folder that holds what is foretold."""
_STEPS = 20
"""Steps after which the time that is left counts as foretold; in a short training half of its steps."""
_NOT_OURS = ("evaluation", "best", "train.log", "run.yaml")
"""What lies in a run folder beside what the training itself writes."""


def begin(folder: Path, memory: Mapping[str, Any] | None, disk: int | None) -> None:
    """Keep the estimates of a training, or of a phase, in place of those of an earlier start.

    Args:
        folder: its folder.
        memory: the estimate of memory, JSON-ready; ``None`` if there is none.
        disk: the bytes that it leaves on the disk; ``None`` if they are not known.
    """
    _write(folder, {"memory": memory, "disk": disk})


def end(folder: Path, seconds: float) -> None:
    """Keep how long it took from the last row of metrics to the end."""
    _write(folder, {**read(folder), "ending_seconds": round(seconds, 3)})


def read(folder: Path) -> dict[str, Any]:
    """What is kept of a training, or of a phase; nothing if there is nothing that can be read."""
    with suppress(OSError, ValueError):
        found = json.loads((folder / FILE).read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else {}
    return {}


def _write(folder: Path, data: Mapping[str, Any]) -> None:
    with replace_file(folder / FILE) as temporary:
        temporary.write_text(json.dumps(data) + "\n", encoding="utf-8")


def rows(folder: Path) -> list[dict[str, Any]]:
    """The rows of metrics that a training, or a phase, has written so far."""
    file = folder / "metrics.jsonl"
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    return [json.loads(line) for line in text.split("\n") if line]


def side_by_side(train: Train) -> dict[str, dict[str, Any]]:
    """What was foretold and what was measured so far, all phases together.

    Returns:
        for ``memory`` (the most bytes that one process held), ``time`` (seconds, from ``after_step`` steps of each
        phase on) and ``disk`` (bytes that the training left) a mapping with ``predicted`` and ``measured``, each
        ``None`` where it is not known. Nothing if no training has begun.
    """
    phases = [(Path(run.output_dir), read(Path(run.output_dir))) for run in train.runs()]
    if not any(kept for _, kept in phases):
        return {}
    measured = [(rows(folder), kept) for folder, kept in phases]
    memory = [kept.get("memory") or {} for _, kept in phases]
    predicted = {name: _largest(each.get(name) for each in memory) for name in ("predicted", "low", "high")}
    held = _largest(row.get("gpu_memory", row.get("memory")) for found, _ in measured for row in found)
    times = [_times(found, kept) for found, kept in measured]
    left = [kept.get("disk") for _, kept in phases]
    return {
        "memory": {**predicted, "measured": held},
        "time": {
            "after_step": min((at for at, *_ in times), default=0),
            "predicted": _sum(foretold for _, foretold, _ in times),
            "measured": _sum(took for *_, took in times),
        },
        "disk": {"predicted": _sum(left), "measured": sum(written(folder, without=_NOT_OURS) for folder, _ in phases)},
    }


def _times(found: list[dict[str, Any]], kept: Mapping[str, Any]) -> tuple[int, float | None, float | None]:
    """After how many steps the rest is told, the seconds that were foretold for it, and those that it took."""
    at = min(_STEPS, len(found) // 2)
    if not at or "ending_seconds" not in kept:
        return at, None, None
    rest = sum(row.get("seconds") or 0 for row in found[at:]) + kept["ending_seconds"]
    return at, found[at - 1].get("remaining_seconds"), round(rest, 3)


def _largest(values: Iterable[Any]) -> Any:
    return max((value for value in values if value is not None), default=None)


def _sum(values: Iterable[Any]) -> Any:
    """The sum, or ``None`` if a part is not known."""
    found = [*values]
    return None if None in found else sum(found)


def in_words(compared: Mapping[str, Mapping[str, Any]]) -> str:
    """What :func:`side_by_side` found, in a line; empty if there is nothing to compare."""
    ways = {"memory": memory_in_words, "time": time_in_words, "disk": size_in_words}
    since = {"time": f"time from step {compared.get('time', {}).get('after_step')} on"}
    said = [
        f"{since.get(name, name)} {way(each['measured'])} ({way(each['predicted'])})"
        for name, way in ways.items()
        if None not in ((each := compared.get(name, {})).get("measured"), each.get("predicted"))
    ]
    return f"measured (predicted): {', '.join(said)}" if said else ""
