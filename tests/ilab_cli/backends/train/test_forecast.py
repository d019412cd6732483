"""What was foretold and what came of it, joined over starts and phases; steps and tokens before the launch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ilab_cli.backends.train import forecast, launch
from ilab_profiles import Train
from tests.ilab_cli.backends.train.conftest import losses, metrics, train_to_end, write_jsonl
from tests.ilab_cli.backends.train.test_training import kill_at

pytest.importorskip("accelerate", reason="needs the train extra")
Settings = Callable[..., Train]


def left_by_a_run(folder: Path, steps: int, *, memory: int = 2**30, ended: bool = True) -> None:
    folder.mkdir(parents=True)
    row = {"loss": 1.0, "tokens_per_second": 9.0, "seconds": 2.0, "remaining_seconds": 50.0}
    rows = [row | {"step": step, "memory": memory + step} for step in range(1, steps + 1)]
    write_jsonl(folder / "metrics.jsonl", rows)
    forecast.begin(folder, {"predicted": 2 * memory, "low": memory, "high": 3 * memory}, 5000)
    if ended:
        forecast.end(folder, 6.0)


def test_one_run(settings: Settings) -> None:
    train = settings()
    assert forecast.side_by_side(train) == {}
    run = Path(train.output_dir)
    left_by_a_run(run, 50)
    (run / "train.log").write_bytes(bytes(10**6))
    (run / "evaluation").mkdir()
    (run / "evaluation" / "scores.json").write_bytes(bytes(10**6))
    found = forecast.side_by_side(train)
    assert found["memory"] == {"predicted": 2**31, "low": 2**30, "high": 3 * 2**30, "measured": 2**30 + 50}
    assert found["time"] == {"after_step": 20, "predicted": 50.0, "measured": 30 * 2.0 + 6}
    assert found["disk"]["predicted"] == 5000
    assert (run / "metrics.jsonl").stat().st_size < found["disk"]["measured"] < 10**5
    said = forecast.in_words(found)
    assert said.startswith(
        "measured (predicted): memory 1.0 GiB (2.0 GiB), time from step 20 on 0:01:06 (50.0 s), disk 0.0 MB (0.0 MB)"
    )
    assert launch.outcome(train).lines[-1] == said


def test_phases_are_joined_and_one_without_end_has_no_time(settings: Settings) -> None:
    train = settings(phases=[{"name": "first"}, {"name": "last"}])
    first, last = (Path(run.output_dir) for run in train.runs())
    left_by_a_run(first, 50)
    left_by_a_run(last, 30, memory=2**31)
    found = forecast.side_by_side(train)
    assert found["memory"]["measured"] == 2**31 + 30
    assert found["time"] == {"after_step": 15, "predicted": 100.0, "measured": 66.0 + 36}
    assert found["disk"]["predicted"] == 10000
    forecast.begin(last, None, None)
    found = forecast.side_by_side(train)
    assert found["time"]["measured"] is None
    assert found["disk"]["predicted"] is None
    assert "time" not in forecast.in_words(found)


def test_what_a_killed_training_measured_joins_what_comes_after(settings: Settings) -> None:
    train = settings(num_epochs=16, save_samples=16, keep_checkpoints=1)
    kill_at("checkpoints/samples_0000082", train)
    assert 0 < len(losses(train)) < 48
    train_to_end(train)
    found, rows = forecast.side_by_side(train), metrics(train)
    assert len(rows) == 48
    assert found["memory"]["measured"] == max(row["memory"] for row in rows)
    assert found["time"]["after_step"] == 20
    assert found["time"]["measured"] > sum(row["seconds"] for row in rows[20:])
    assert found["time"]["predicted"] > 0
    assert found["disk"]["measured"] == pytest.approx(found["disk"]["predicted"], rel=0.3)


@pytest.mark.parametrize("packing", ["batch", "none"])
def test_steps_and_tokens_are_known_before(settings: Settings, packing: str) -> None:
    train = settings(packing=packing, phases=[{"name": "first", "num_epochs": 1}, {"effective_batch_size": 22}])
    foretold = launch.foretold(train)
    assert foretold.lines[:2] == (
        "first: 22 conversations in 3 steps, 430 tokens",
        "phase01: 22 conversations in 2 steps, 860 tokens",
    )
    assert foretold.figures["phases"][1] == {"phase": "phase01", "conversations": 22, "steps": 2, "tokens": 860}
    memory: dict[str, Any] = foretold.figures["memory"]
    assert memory["low"] < memory["predicted"] < memory["high"] < memory["room"]
    assert foretold.figures["disk"]["predicted"] <= foretold.figures["disk"]["most"]
    assert len(foretold.lines) == 4
    assert not Path(train.output_dir).exists()
