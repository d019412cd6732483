"""Trackers that accelerate sends metrics to: each keeps its files in the run folder, unless its variables say else.

Which run it is at the tracker is kept beside the metrics, so that a training that goes on continues the same curves.
Keys are the trackers' own business: they read them from the environment or from where their login left them.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ilab_cli.backends.train.files import replace_file
from ilab_profiles import Train

__all__ = ["start", "values"]

_PROJECT = "ilab"
_RUNS = "trackers.json"


def start(train: Train, accelerator: Any, done: int) -> None:
    """Begin to track, or go on.

    Args:
        train: the settings, which a new run gets as its hyperparameters.
        accelerator: ``accelerate.Accelerator``.
        done: optimizer steps done before.
    """
    if not train.trackers:
        return
    folder = Path(train.output_dir).absolute()
    runs = _read(folder / _RUNS) if done else {}
    runs.setdefault("wandb", secrets.token_hex(4))
    os.environ.setdefault("WANDB_DIR", str(folder))
    os.environ.setdefault("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
    ways: dict[str, dict[str, Any]] = {
        "tensorboard": {"purge_step": done + 1},  # what a run that was killed tracked after its last checkpoint
        "wandb": {
            "id": runs["wandb"],
            "resume": "allow",
            "name": folder.name,
            "dir": os.environ.get("WANDB_DIR", folder),
        },
        "mlflow": {"run_id": runs.get("mlflow"), "run_name": folder.name, "logging_dir": _artifacts(folder)},
    }
    accelerator.init_trackers(
        os.environ.get("WANDB_PROJECT", _PROJECT) if "wandb" in train.trackers else _PROJECT,
        config=None if done else _hyperparameters(train.model_dump(mode="json", exclude_none=True)),
        init_kwargs=ways,
    )
    if accelerator.is_main_process:
        if "mlflow" in train.trackers:
            runs["mlflow"] = accelerator.get_tracker("mlflow", unwrap=True).info.run_id
        with replace_file(folder / _RUNS) as temporary:
            temporary.write_text(json.dumps(runs) + "\n", encoding="utf-8")


def values(row: dict[str, Any]) -> dict[str, float]:
    """The numbers of a row of metrics, without its step."""
    return {name: value for name, value in row.items() if name != "step" and isinstance(value, int | float)}


def _artifacts(folder: Path) -> str | None:
    """Where MLflow keeps files that belong to a run: in its folder too, if its records are there."""
    return (folder / "mlflow").as_uri() if os.environ["MLFLOW_TRACKING_URI"].startswith("sqlite") else None


def _hyperparameters(settings: Mapping[str, Any], prefix: str = "") -> dict[str, str | float]:
    """Settings by dotted path, as text or numbers."""
    found: dict[str, str | float] = {}
    for name, value in settings.items():
        if isinstance(value, dict):
            found |= _hyperparameters(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = value if isinstance(value, str | int | float) else json.dumps(value)
    return found


def _read(file: Path) -> dict[str, str]:
    return dict(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else {}
