"""What a phase hands over to the next: its best checkpoint, by an evaluation, and a journal of what and why.

``handovers.jsonl`` in the run folder of the training has a row for each phase that is over. What it says holds: a
training that was killed and goes on hands the same over.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from ilab_cli.backends.base import start, wait
from ilab_cli.backends.evaluate import best, results
from ilab_cli.backends.evaluate import launch as evaluation
from ilab_cli.backends.model_folder import is_adapter, is_model, weight_files
from ilab_cli.backends.train import checkpoint
from ilab_cli.backends.train.launch import environment, last_model
from ilab_cli.output import OK, say
from ilab_profiles import Evaluate, Train
from ilab_profiles.diagnostics import counted
from ilab_profiles.yaml.files import write_atomically

__all__ = ["HandOver", "NotHandedOver", "told"]

JOURNAL = "handovers.jsonl"
"""File, in the run folder of a training, with a row for each phase: what it handed over and why."""
_EVALUATION = "evaluation"
_BEST = "best"
_PATIENCE = 30


class NotHandedOver(Exception):
    """The evaluation after a phase did not come to an end.

    Args:
        code: the exit code of the program.
    """

    def __init__(self, code: int) -> None:
        self.code = code
        super().__init__(f"ended with {code}")


class HandOver:
    """Finds out what each phase hands over.

    Args:
        train: the whole training.
        evaluate: how checkpoints are evaluated.
        off: why they are not; empty if they are.
    """

    def __init__(self, train: Train, evaluate: Evaluate, off: str) -> None:
        self._train, self._evaluate, self._off = train, evaluate, off

    def __call__(self, phase: Train) -> str:
        """The folder of the model that the next phase starts from.

        Raises:
            NotHandedOver: if the evaluation failed or was interrupted; the same command goes on with it.
        """
        name = _name(phase)
        for row in _rows(self._train):
            if row["phase"] == name and is_model(Path(row["model"])):
                return str(row["model"])
        row = {"phase": name, **self._found(phase)}
        _write(self._train, row)
        say(_line(row))
        return str(row["model"])

    def _found(self, phase: Train) -> dict[str, Any]:
        reason = self._off or self._no_room(phase)
        if reason:
            return {"model": last_model(phase), "best": None, "why": f"not evaluated: {reason}"}
        evaluate = _of(phase, self._evaluate)
        if (code := evaluation.run(evaluate)) != OK:
            raise NotHandedOver(code)
        scores = json.loads((Path(evaluate.output_dir) / results.FILE).read_text(encoding="utf-8"))
        row = next(row for row in scores["checkpoints"] if row["name"] == scores["best"])
        figures = {name: row[name] for name in ("score", "stderr")}
        why = (
            scores["note"] or f"the best of {counted(len(scores['checkpoints']), 'checkpoints')} by {scores['metric']}"
        )
        return {
            "model": _model_of(phase, Path(row["folder"]), Path(scores["best_folder"])),
            "best": scores["best"],
            **figures,
            "why": why,
        }

    def _no_room(self, phase: Train) -> str:
        """Why the model cannot be evaluated here, in words; empty if it can, by its weights and the memory there is."""
        from ilab_profiles.hardware import memory

        size = sum(file.stat().st_size for file in weight_files(Path(last_model(phase))))
        free = memory.free()
        if size > free:
            return f"the weights take {size / 1e9:,.1f} GB, {free / 1e9:,.1f} GB of memory are free"
        say(f"{_name(phase)} is over: its checkpoints are evaluated, {size / 1e9:,.1f} GB of {free / 1e9:,.1f} GB free")
        return ""


def told(train: Train) -> tuple[str, ...]:
    """What the phases handed over, for people."""
    return tuple(map(_line, _rows(train)))


def _name(phase: Train) -> str:
    return Path(phase.output_dir).name


def _of(phase: Train, evaluate: Evaluate) -> Evaluate:
    """The settings of the evaluation after a phase."""
    where = {"input_dir": phase.output_dir, "output_dir": str(Path(phase.output_dir) / _EVALUATION)}
    which = {"checkpoints": evaluate.checkpoints or "all", "model": None}
    parts = {name: getattr(evaluate, name).model_copy(update={"model": None}) for name in ("mmlu", "mt")}
    return evaluate.model_copy(update={**where, **which, **parts})


def _model_of(phase: Train, found: Path, put: Path) -> str:
    """Folder of a whole model of the best checkpoint: the phase's own if that is the last one, else one beside it."""
    last = Path(last_model(phase))
    if checkpoint.progress_of(last).step == checkpoint.progress_of(found).step:
        return str(last)
    target = Path(phase.output_dir) / _BEST
    if is_adapter(put):
        command = [sys.executable, "-m", "ilab_cli.backends.train.merged", str(put), str(target)]
        command += ["--settings", phase.model_dump_json(exclude_defaults=True)]
        if wait(start(command, environment(phase), stdout=subprocess.DEVNULL), _PATIENCE):
            raise NotHandedOver(1)
    else:
        best.put(put, target)
    return str(target)


def _rows(train: Train) -> list[dict[str, Any]]:
    try:
        text = (Path(train.output_dir) / JOURNAL).read_text(encoding="utf-8")
    except OSError:
        return []
    return [json.loads(line) for line in text.split("\n") if line]


def _write(train: Train, row: dict[str, Any]) -> None:
    others = [other for other in _rows(train) if other["phase"] != row["phase"]]
    text = "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in (*others, row))
    write_atomically(Path(train.output_dir) / JOURNAL, text)


def _line(row: dict[str, Any]) -> str:
    if row["best"] is None:
        return f"{row['phase']} hands over its last checkpoint; {row['why']}"
    error = "" if row["stderr"] is None else f" +/- {row['stderr']:.3f}"
    return f"{row['phase']} hands over {row['best']}, {row['score']:.3f}{error}: {row['why']}"
