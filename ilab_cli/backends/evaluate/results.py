"""``scores.json``: what an evaluation found, begun, written and gone on with; and the table of checkpoints."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ilab_cli.backends.evaluate import best
from ilab_cli.backends.evaluate.checkpoints import Checkpoint
from ilab_cli.backends.evaluate.model import Model
from ilab_cli.backends.model_folder import weight_files
from ilab_cli.output import columns
from ilab_profiles import Evaluate
from ilab_profiles.yaml.files import write_atomically

__all__ = [
    "BEST",
    "CHECKPOINTS",
    "COMPARISON",
    "FILE",
    "Row",
    "begun",
    "brief",
    "checkpoint_table",
    "of_all",
    "of_checkpoints",
    "tell_pruned",
    "write",
]

FILE = "scores.json"
COMPARISON = "comparison.json"
"""File with what :func:`ilab_cli.backends.evaluate.compare.compare` found beside an earlier evaluation."""
BEST = "best"
"""Folder, in that of an evaluation, of the best checkpoint's model."""
CHECKPOINTS = "checkpoints"
"""Folder, in that of an evaluation, with one folder of scores and answers for each checkpoint."""


@dataclass(frozen=True, slots=True)
class Row:
    """What came of one checkpoint.

    Attributes:
        checkpoint: the checkpoint.
        scores: what its ``scores.json`` holds; empty if it is broken.
        problem: why it is broken.
    """

    checkpoint: Checkpoint
    scores: dict[str, Any]
    problem: str

    def brief(self, metric: str) -> dict[str, Any]:
        """Its figure, and the score of each benchmark."""
        found = self.scores["benchmarks"]
        short = {name: {"score": part["score"], "stderr": part["stderr"]} for name, part in found.items()}
        return {**best.figure(found, metric)._asdict(), "benchmarks": short}


def begun(folder: Path, model: Model) -> dict[str, Any]:
    """What is known of a model already: what an evaluation in this folder found before it was interrupted.

    Returns:
        ``form``, ``model`` (its name), ``sha256`` of its weights (``None`` if it is not on this machine), and
        ``benchmarks``, those that are finished.
    """
    digest = _digest(model)
    fresh: dict[str, Any] = {"form": "model", "model": model.name, "sha256": digest, "benchmarks": {}}
    try:
        earlier: dict[str, Any] = json.loads((folder / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return fresh
    return earlier if digest and earlier.get("sha256") == digest else fresh


def write(folder: Path, scores: Mapping[str, Any], name: str = FILE) -> None:
    """Write ``scores.json``, or another file of figures."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / name, json.dumps(scores, indent=2, ensure_ascii=False) + "\n")


def of_checkpoints(evaluate: Evaluate, rows: Sequence[Row]) -> dict[str, Any]:
    """What ``scores.json`` of an evaluation of checkpoints holds.

    Returns:
        ``form``, ``model`` (the training's folder), ``metric``, ``best`` (name), ``best_folder``, ``note`` (how sure
        that is) and ``checkpoints``: for each its ``name``, ``folder``, ``samples``, ``score`` and ``stderr`` from 0 to
        1, the scores of its ``benchmarks``, and why it is ``broken``.
    """
    figures = {
        row.checkpoint.name: best.figure(row.scores["benchmarks"], evaluate.metric) for row in rows if row.scores
    }
    names = list(figures)
    nothing: dict[str, Any] = {"score": None, "stderr": None, "benchmarks": {}}
    return {
        "form": "checkpoints",
        "model": evaluate.input_dir,
        "metric": evaluate.metric,
        "best": names[best.best_of(list(figures.values()))],
        "best_folder": str(Path(evaluate.output_dir) / BEST),
        "note": best.note(figures),
        "checkpoints": [
            {
                "name": row.checkpoint.name,
                "folder": str(row.checkpoint.folder),
                "samples": row.checkpoint.samples,
                **(row.brief(evaluate.metric) if row.scores else nothing),
                "broken": row.problem or None,
            }
            for row in rows
        ],
    }


def checkpoint_table(scores: Mapping[str, Any]) -> str:
    """The scores of all checkpoints, the best one marked, as lines of aligned text."""
    benchmarks = list(dict.fromkeys(name for row in scores["checkpoints"] for name in row["benchmarks"]))
    lines: list[tuple[str, ...]] = []
    for row in scores["checkpoints"]:
        parts = [f"{row['benchmarks'][name]['score']:.3f}" if row["benchmarks"] else "" for name in benchmarks]
        figures = ["" if row[name] is None else f"{row[name]:.3f}" for name in ("score", "stderr")]
        about = f"left out: {row['broken']}" if row["broken"] else "best" if row["name"] == scores["best"] else ""
        lines.append((row["name"], *parts, *figures, about))
    text = columns(("checkpoint", *benchmarks, scores["metric"], "+/-", ""), lines, sys.stdout)
    return "\n".join(filter(None, (text, scores["note"])))


def of_all(folder: Path, metric: str, wanted: Sequence[Checkpoint]) -> dict[str, Any] | None:
    """What ``scores.json`` of an evaluation of these checkpoints holds already; ``None`` if it is not finished.

    Those that were pruned since are in it, too.
    """
    try:
        found: dict[str, Any] = json.loads((folder / FILE).read_text(encoding="utf-8"))
        names = {row["name"] for row in found["checkpoints"]}
    except (OSError, ValueError, LookupError, TypeError):
        return None
    here = {each.name for each in wanted}
    return found if found["metric"] == metric and found["best"] in here and here <= names else None


def brief(row: Mapping[str, Any]) -> dict[str, Any]:
    """The figures in a row of ``scores.json``."""
    return {name: row[name] for name in ("score", "stderr", "benchmarks")}


def tell_pruned(pruned: Sequence[Checkpoint], lacking: Sequence[str]) -> None:
    """Say on stderr what was deleted, or why nothing was."""
    if lacking:
        print(f"nothing is pruned: {', '.join(lacking)} has no score", file=sys.stderr)
    elif pruned:
        print(f"pruned: {', '.join(each.name for each in pruned)}", file=sys.stderr)


def _digest(model: Model) -> str | None:
    """SHA-256 of the weights of a model, and of its adapter."""
    if not model.local:
        return None
    digest = hashlib.sha256()
    for folder in dict.fromkeys(filter(None, (model.base, model.adapter))):
        for file in weight_files(Path(folder)):
            with file.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()
