"""The time that is left: known after 20 steps, whatever the steps cost and whatever is done between them."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ilab_cli.backends.train import launch
from ilab_profiles import Train
from tests.ilab_cli.backends.train.conftest import ROOT, WORDS, metrics, write_jsonl

np = pytest.importorskip("numpy", reason="needs the train extra")
pytest.importorskip("accelerate", reason="needs the train extra")
Settings = Callable[..., Train]


def plan_of(samples: int = 600, sigma: float = 0.9, **changes: Any) -> Any:
    """A plan of samples of uneven lengths."""
    from ilab_cli.backends.train.plan import BatchPlan

    given = {"num_epochs": 2, "effective_batch_size": 8, "max_seq_len": 4000, "max_batch_len": 8000, "save_samples": 0}
    lengths = np.clip(np.random.default_rng(samples).lognormal(5, sigma, samples), 5, 4000).astype(np.int64)
    return BatchPlan(Train.model_validate(given | changes), lengths, 256)


class Machine:
    """Does a plan: what each thing takes there, and what was told of the rest after each step."""

    def __init__(self, plan: Any, *, held_out: float = 0, checkpoint: int = 0, export: int = 0, **takes: Any) -> None:
        from ilab_cli.backends.train.remaining import Beside, Remaining

        self.takes = {"step": 0.02, "token": 1e-4, "first": 0, "noise": 0.1, "save": 0, "validation": 0} | takes
        self.plan = plan
        due = [step for step in range(plan.steps) if plan.due(step, plan.train.save_samples)]
        self.saves = sorted({*due, plan.steps - 1})
        self.validations = self.saves if held_out else []
        self.remaining = Remaining(plan, Beside(self.saves, self.validations, held_out, checkpoint, export))
        self.draw = random.Random(1)

    def error_after(self, steps: int, begin: int = 0, end: float = 0) -> float:
        """By how much, as a share of what it really takes, what is told after some steps is wrong."""
        takes, told, rest = self.takes, 0.0, end
        for step in range(begin, self.plan.steps):
            cost = self.plan.cost_seen(step + 1) - self.plan.cost_seen(step)
            seconds = (takes["step"] + takes["token"] * cost) * self.draw.uniform(
                1 - takes["noise"], 1 + takes["noise"]
            )
            seconds += takes["first"] if step < begin + 2 else 0
            self.remaining.stepped(step, seconds)
            rest += seconds if step >= begin + steps else 0
            if step in self.validations:
                self.remaining.validated(takes["validation"])
                rest += takes["validation"] if step >= begin + steps else 0
            if step == begin + steps - 1:
                told = self.remaining.after(step) or 0.0
            if step in self.saves:
                self.remaining.saved(takes["save"])
                rest += takes["save"] if step >= begin + steps - 1 else 0
        return told / rest - 1


@pytest.mark.parametrize(
    "takes",
    [
        {"step": 0, "noise": 0.3},
        {"step": 1, "token": 1e-6},
        {"first": 60},
        {"save": 5, "checkpoint": 10**9},
        {"save": 0.2, "validation": 2, "held_out": 60_000},
    ],
    ids=["uneven steps", "even steps", "compiled", "slow saves", "validated"],
)
@pytest.mark.parametrize("packing", ["batch", "full", "none"])
def test_after_20_steps_it_is_known(takes: dict[str, Any], packing: str) -> None:
    machine = Machine(plan_of(packing=packing, save_samples=100), **takes)
    assert machine.error_after(20) == pytest.approx(0, abs=0.2)


def test_a_training_that_goes_on_knows_it_as_soon() -> None:
    machine = Machine(plan_of(save_samples=100), first=30, save=2, checkpoint=10**8)
    assert machine.error_after(20, begin=70) == pytest.approx(0, abs=0.2)


def test_a_few_long_samples_at_the_end_are_foreseen() -> None:
    """A mean of seconds a step would be wrong: the steps of the second half cost four times as much."""
    plan = plan_of(samples=480, sigma=0.1, num_epochs=1)
    order = np.array([number for step in range(plan.steps) for number in plan.batch(step)])
    plan.lengths[order[240:]] *= 4
    plan = type(plan)(plan.train, plan.lengths, plan.hidden)
    assert [plan.batch(step) for step in range(2)] == [order[:8].tolist(), order[8:16].tolist()]
    assert Machine(plan, step=0).error_after(20) == pytest.approx(0, abs=0.2)


def test_adapters_are_merged_at_the_end() -> None:
    machine = Machine(plan_of(samples=240, num_epochs=1), step=0.1, save=0.4, checkpoint=10**7, export=10**10)
    assert machine.error_after(20, end=20) == pytest.approx(0, abs=0.2)


def test_before_some_steps_it_is_not_known() -> None:
    from ilab_cli.backends.train.remaining import Beside, Remaining

    remaining = Remaining(plan_of(), Beside())
    told = []
    for step in range(6):
        remaining.stepped(step, 1.0)
        told.append(remaining.after(step))
    assert told[:4] == [None] * 4
    assert all(seconds and seconds > 0 for seconds in told[4:])


def test_a_machine_that_becomes_slower_is_believed() -> None:
    machine = Machine(plan_of(samples=4000, num_epochs=1), step=0)
    for step in range(200):
        machine.remaining.stepped(step, 0.01)
    assert machine.error_after(150, begin=200) == pytest.approx(0, abs=0.2)


@pytest.fixture(scope="module")
def student(model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model, but so large that its steps take longer than what happens around them."""
    import shutil

    from transformers import AutoConfig, AutoModelForCausalLM

    folder = tmp_path_factory.mktemp("student")
    shutil.copytree(model_dir, folder, dirs_exist_ok=True)
    config = AutoConfig.from_pretrained(model_dir)
    config.hidden_size, config.intermediate_size, config.num_hidden_layers, config.head_dim = 128, 256, 3, 64
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder


def uneven(count: int) -> list[dict[str, Any]]:
    draw = random.Random(count)
    texts = [
        " ".join(draw.choices(WORDS, k=max(3, min(240, int(draw.lognormvariate(3.7, 0.9)))))) for _ in range(count)
    ]
    return [
        {"messages": [{"role": "user", "content": "Say."}, {"role": "assistant", "content": text}]} for text in texts
    ]


@pytest.mark.parametrize(
    "changes",
    [{"save_samples": 80, "validate_samples": 40}, {"lora": {"enabled": True}, "packing": "full", "num_epochs": 3}],
    ids=["full", "lora"],
)
def test_a_real_training_tells_it_after_20_steps(
    settings: Settings, student: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    """By the processor's own time, so that it does not matter what else the machine does."""
    data = write_jsonl(tmp_path / "uneven.jsonl", uneven(264))
    held = write_jsonl(tmp_path / "held.jsonl", uneven(30))
    train = settings(
        model_path=str(student), data_path=str(data), valid_path=str(held), max_seq_len=512, max_batch_len=512,
        **{"validate_samples": 0, **changes},
    )  # fmt: skip
    (tmp_path / "sitecustomize.py").write_text("import time\ntime.perf_counter = time.process_time\n")
    variables = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    done = subprocess.run(
        launch.command(train), env=variables, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, done.stderr
    rows = metrics(train)
    assert len(rows) >= 60, len(rows)
    kept = json.loads((Path(train.output_dir) / "forecast.json").read_text())
    took = sum(row["seconds"] for row in rows[20:]) + kept["ending_seconds"]
    assert rows[19]["remaining_seconds"] == pytest.approx(took, rel=0.4), "a shared processor counts other's time too"
    assert rows[-1]["remaining_seconds"] < rows[19]["remaining_seconds"]
    assert re.search(r"training on 264 conversations in \d+ steps, [\d,]+ tokens\n", done.stderr)


def test_a_bar_and_lines_tell_it(capsys: pytest.CaptureFixture[str]) -> None:
    from ilab_cli.backends.train.report import Progress

    row = {"step": 3, "epoch": 1, "loss": 1.0, "learning_rate": 1e-3, "tokens_per_second": 9.0}
    with Progress(9, 2, shown=True) as progress:
        progress.show(row | {"remaining_seconds": 3723.4})
    assert capsys.readouterr().err.endswith("9 tokens/s  1:02:03 left\n")
    with Progress(9, 2, shown=True) as progress:
        progress.show(row | {"remaining_seconds": None})
    assert capsys.readouterr().err.endswith("9 tokens/s\n")
