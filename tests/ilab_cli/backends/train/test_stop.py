"""Stops in order: whoever asks, a checkpoint is saved, and the same command goes on as if nothing had been."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ilab_cli.backends.train import launch
from ilab_cli.output import TERMINATED, UNFINISHED
from ilab_profiles import Train
from tests.ilab_cli.backends.train.conftest import ROOT, losses, start, train_to_end
from tests.ilab_cli.backends.train.test_training import names, plain_loop, processes_of

pytest.importorskip("accelerate", reason="needs the train extra")
Settings = Callable[..., Train]
LONG: dict[str, Any] = {"num_epochs": 100, "learning_rate": 1e-4}


def wait_for_steps(train: Train, process: subprocess.Popen[str]) -> None:
    metrics = Path(train.output_dir) / "metrics.jsonl"
    while not metrics.exists() or metrics.read_bytes().count(b"\n") < 5:
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)


def check_stopped(train: Train, err: str) -> int:
    """Check that a checkpoint was saved at the step that a run stopped at; returns the step."""
    steps = len(losses(train))
    total = train.num_epochs * 3
    assert f"stopped at step {steps} of {total}" in err
    assert err.endswith("the same command goes on\n")
    assert "Traceback" not in err
    epochs, rest = divmod(steps, 3)
    assert names(train)[-1] == f"samples_{22 * epochs + 8 * rest:07d}"
    assert not (Path(train.output_dir) / "model").exists()
    assert not (Path(train.output_dir) / "stopped.txt").exists()
    return steps


@pytest.mark.parametrize(
    ("number", "processes", "code"),
    [(signal.SIGTERM, 1, TERMINATED), (signal.SIGUSR1, 2, UNFINISHED)],
)
def test_a_signal_to_the_launcher(settings: Settings, number: int, processes: int, code: int) -> None:
    train = settings(num_gpus=processes, **LONG)
    process = start(train)
    wait_for_steps(train, process)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert 5 <= check_stopped(train, err) < 300
    assert "going on after step" in train_to_end(train)
    assert losses(train) == pytest.approx(plain_loop(train), rel=1e-3)


def test_signals_to_all_processes_as_slurm_sends_them(settings: Settings) -> None:
    train = settings(num_gpus=2, lora={"enabled": True, "lora_dropout": 0.2}, **LONG)
    process = start(train)
    wait_for_steps(train, process)
    for number in (signal.SIGUSR1, signal.SIGTERM):
        for one in processes_of(train):
            one.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == TERMINATED, err
    check_stopped(train, err)


def test_a_deadline_that_comes_at_once_still_lets_every_start_do_a_step(settings: Settings, tmp_path: Path) -> None:
    undisturbed = settings(num_gpus=2, num_epochs=1, output_dir=str(tmp_path / "undisturbed"))
    train_to_end(undisturbed)
    train = settings(num_gpus=2, num_epochs=1, max_hours=1e-6)
    steps = [check_stopped(train, train_to_end(train, UNFINISHED)) for _ in range(2)]
    assert steps == [1, 2]
    assert "stopped" not in train_to_end(train), "the last step ends the run"
    assert losses(train) == pytest.approx(losses(undisturbed), rel=1e-6)
    assert (Path(train.output_dir) / "model").is_dir()


def test_a_stop_ends_all_phases(settings: Settings, tmp_path: Path) -> None:
    train = settings(num_epochs=1, max_hours=1e-6, phases=[{"effective_batch_size": 22}, {}])
    err = train_to_end(train, UNFINISHED)
    assert "stopped at step 1 of 3" in err
    assert (tmp_path / "run" / "phase00" / "model").is_dir()
    assert len(losses(train.runs()[1])) == 1
    assert not (tmp_path / "run" / "model").exists()


def test_a_second_sigterm_stops_at_once(settings: Settings) -> None:
    train = settings(**LONG)
    process = start(train)
    wait_for_steps(train, process)
    workers = [one for one in processes_of(train) if one.ppid() not in (os.getpid(), process.pid)]
    for worker in workers:
        worker.suspend()  # it cannot save a checkpoint
    process.send_signal(signal.SIGTERM)
    assert process.stderr
    while not process.stderr.readline().startswith("stopping"):
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    for worker in workers:
        worker.resume()
    _, err = process.communicate(timeout=60)
    assert process.returncode == TERMINATED, err
    assert err.endswith("interrupted; the same command continues from the last checkpoint\n")


def test_torchrun_typed_by_hand(settings: Settings) -> None:
    train = settings(**LONG)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        launch.command(train), env=environment, text=True, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    wait_for_steps(train, process)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode != 0
    assert f"stopped at step {len(losses(train))} of 300; the same command goes on\n" in err
    assert names(train)
