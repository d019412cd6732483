"""Metrics in trackers: off by default, one curve for a run however often it was stopped, no secret in any file."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from ilab_cli.backends.train.launch import preflight
from ilab_cli.backends.train.trackers import values
from ilab_profiles import Train
from ilab_profiles.models.paths import fields, is_secret
from tests.ilab_cli.backends.train.conftest import metrics, train_to_end
from tests.ilab_cli.backends.train.test_training import kill_at

pytest.importorskip("accelerate", reason="needs the train extra")
Settings = Callable[..., Train]


def test_tensorboard_shows_one_curve_of_a_run_that_was_killed(settings: Settings) -> None:
    pytest.importorskip("tensorboard", reason="needs the tensorboard extra")
    train = settings(trackers="tensorboard", num_epochs=8, save_samples=8)
    kill_at("checkpoints/samples_0000030", train)
    train_to_end(train)
    rows = metrics(train)
    for name in ("loss", "learning_rate", "tokens"):
        expected = [(row["step"], pytest.approx(row[name], rel=1e-5)) for row in rows]
        assert tracked(Path(train.output_dir) / "tensorboard" / "ilab", name) == expected


def tracked(folder: Path, name: str) -> list[tuple[int, Any]]:
    """Steps and values that TensorBoard shows."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars(name)]


def test_wandb_offline_keeps_a_run_in_its_folder(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb", reason="needs the wandb extra")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    train = settings(trackers="wandb", num_epochs=1)
    train_to_end(train)
    run = Path(train.output_dir)
    name = json.loads((run / "trackers.json").read_text())["wandb"]
    assert [*run.glob(f"wandb/offline-run-*/run-{name}.wandb")]
    assert not [file for file in run.rglob("*") if file.is_file() and b"k" * 40 in file.read_bytes()]


@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning")  # of what MLflow rests on, where the test reads
def test_mlflow_gets_one_run(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow", reason="needs the mlflow extra")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    train = settings(trackers="mlflow", num_epochs=8, save_samples=8)
    kill_at("checkpoints/samples_0000030", train)
    train_to_end(train)
    run = Path(train.output_dir)
    client = mlflow.MlflowClient(f"sqlite:///{run / 'mlflow.db'}")
    name = json.loads((run / "trackers.json").read_text())["mlflow"]
    steps = {item.step for item in client.get_metric_history(name, "loss")}
    assert steps == set(range(1, 25))
    assert client.get_run(name).data.params["learning_rate"] == str(train.learning_rate)


@pytest.mark.parametrize("name", ["tensorboard", "wandb", "mlflow"])
def test_a_tracker_that_is_not_installed_is_named_with_its_extra(settings: Settings, name: str) -> None:
    found = [finding for finding in preflight(settings(trackers=[name])) if finding.rule == "extra-not-installed"]
    if find_spec(name):
        assert found == []
    else:
        assert [finding.message for finding in found] == [f"train.trackers needs {name}: not installed"]
        assert f"ilab-profiles[{name}]" in found[0].hint


def test_nothing_is_tracked_unless_it_is_asked_for(settings: Settings) -> None:
    train = settings(num_epochs=1)
    train_to_end(train)
    names = {path.name for path in Path(train.output_dir).iterdir()}
    assert names.isdisjoint({"tensorboard", "wandb", "mlflow.db", "mlruns", "trackers.json"})


def test_the_settings_that_trackers_get_hold_no_secret() -> None:
    assert [path for path in fields() if path.startswith("train.") and is_secret(path)] == []


def test_the_numbers_of_a_row() -> None:
    row = {"step": 3, "loss": 1.5, "samples": 24, "grad_norm": None, "kind": "text"}
    assert values(row) == {"loss": 1.5, "samples": 24}
