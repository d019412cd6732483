"""Real trainings through torchrun: the curve does not depend on how a run is split, stopped, or started."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ilab_cli.backends.train import launch
from ilab_profiles import Train
from tests.ilab_cli.backends.train.conftest import ROOT, losses, metrics, start, train_to_end

pytest.importorskip("accelerate", reason="needs the train extra")
Settings = Callable[..., Train]


def plain_loop(train: Train) -> list[float]:
    """The losses by a plain loop: whole batches, one process, nothing of ours but data, order and learning rate."""
    import torch
    from transformers import AutoModelForCausalLM

    from ilab_cli.backends.train.data.dataset import examine
    from ilab_cli.backends.train.plan import BatchPlan

    samples = examine(train)
    plan = BatchPlan(train, samples.lengths)
    model = AutoModelForCausalLM.from_pretrained(train.model_path, dtype=torch.float32).train()
    optimizer = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.95), weight_decay=0.0)
    curve = []
    for step in range(plan.steps):
        parts = []
        for number in plan.batch(step):
            ids, learned = samples[number]
            tokens = torch.tensor(ids, dtype=torch.long)[None]
            each = torch.nn.functional.cross_entropy(model(tokens).logits[0, :-1], tokens[0, 1:], reduction="none")
            parts.append(each[torch.tensor(learned)[1:]])
        loss = torch.cat(parts).mean()
        curve.append(loss.item())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.param_groups[0]["lr"] = plan.learning_rate(step)
        optimizer.step()
        optimizer.zero_grad()
    return curve


def test_one_process_started_by_hand(settings: Settings) -> None:
    train = settings(save_samples=10)
    done = subprocess.run(
        launch.command(train), cwd=ROOT, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert "training on 22 conversations in 6 steps, 860 tokens\n" in done.stderr
    assert losses(train) == pytest.approx(plain_loop(train), rel=1e-4)
    assert losses(train)[-1] < losses(train)[0] - 0.5
    rows = metrics(train)
    assert rows[-1]["tokens"] == 860
    assert [row["samples"] for row in rows] == [8, 16, 22, 30, 38, 44]
    assert [row["epoch"] for row in rows] == [1, 1, 1, 2, 2, 2]
    assert all(row["tokens_per_second"] > 0 and row["memory"] > 2**20 and row["grad_norm"] > 0 for row in rows)
    assert names(train) == ["samples_0000016", "samples_0000022", "samples_0000030", "samples_0000044"]
    umask = os.umask(0)
    os.umask(umask)
    files = [path for path in Path(train.output_dir).rglob("*") if path.is_file()]
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in files} == {
        path.name: 0o666 & ~umask for path in files
    }


def test_only_as_many_checkpoints_stay_as_are_wanted(settings: Settings) -> None:
    train = settings(save_samples=8, keep_checkpoints=2)
    train_to_end(train)
    assert names(train) == ["samples_0000038", "samples_0000044"]
    assert (Path(train.output_dir) / "model" / "model.safetensors").is_file()


def test_two_processes_interrupted_and_started_again(settings: Settings) -> None:
    train = settings(num_gpus=2, num_epochs=24, save_samples=40, learning_rate=1e-3)
    process = start(train)
    wait_for(train, "checkpoints/samples_0000044", process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.endswith("interrupted; the same command continues from the last checkpoint\n")
    assert "Traceback" not in err
    leave_rubbish(train)
    assert "going on after step" in train_to_end(train)
    assert losses(train) == pytest.approx(plain_loop(train), rel=1e-3)

    checkpoints = [Path(train.output_dir) / "checkpoints" / name for name in names(train)]
    assert [folder.name for folder in checkpoints if (folder / "optimizer").exists()] == ["samples_0000528"]
    assert difference(checkpoints[0], Path(train.output_dir) / "model") > 1e-3
    assert difference(checkpoints[-1], Path(train.output_dir) / "model") == 0
    before = metrics(train)
    train_to_end(train)
    assert metrics(train) == before, "nothing is left to do"


def test_lora_killed_and_started_again(settings: Settings, model_dir: Path, tmp_path: Path) -> None:
    lora = {"enabled": True, "lora_dropout": 0.2}
    undisturbed = settings(
        lora=lora, num_epochs=8, save_samples=8, learning_rate=2e-2, precision="bf16", gradient_checkpointing=True
    )
    train_to_end(undisturbed)
    train = undisturbed.model_copy(update={"output_dir": str(tmp_path / "again")})
    kill_at("checkpoints/samples_0000082", train)
    assert 0 < len(losses(train)) < 24, "the run was stopped before its end"
    train_to_end(train)
    assert losses(train) == pytest.approx(losses(undisturbed), rel=1e-6)
    assert losses(train)[-1] < losses(train)[0] - 0.1
    run = Path(train.output_dir)
    assert difference(run / "checkpoints" / "samples_0000176", run / "model") < 1e-4, "merged is base and adapters"
    assert difference(model_dir, run / "model") > 1e-3


def test_workers_end_with_their_launcher(settings: Settings) -> None:
    train = settings(num_gpus=2)
    process = start(train)
    wait_for(train, "train.log", process)
    process.kill()
    process.communicate()
    wait_until_gone(train)
    assert not (Path(train.output_dir) / "model").exists()


def test_qlora_in_phases(settings: Settings, tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes", reason="needs the quantize extra")
    train = settings(
        num_gpus=2,
        num_epochs=1,
        lora={"enabled": True},
        deepspeed={"quantize_dtype": "nf4"},
        phases=[{"name": "first"}, {"effective_batch_size": 11, "learning_rate": 5e-3}],
    )
    train_to_end(train)
    first, second = (train.model_copy(update={"output_dir": str(tmp_path / "run" / n)}) for n in ("first", "phase01"))
    assert len(losses(first)) == 3
    assert len(losses(second)) == 2
    assert losses(second)[-1] < losses(first)[0]
    difference(Path(first.output_dir) / "model", Path(second.output_dir) / "model")


def test_a_run_that_fails_says_why_in_a_line(settings: Settings) -> None:
    train = settings(learning_rate=1e30, warmup_steps=0, num_gpus=2)
    err = train_to_end(train, code=1)
    assert "training failed: ArithmeticError: at step 2 the loss is" in err
    assert "fix: lower train.learning_rate" in err
    assert "Traceback" not in err
    assert not (Path(train.output_dir) / "model").exists()


def test_a_full_disk_is_said_to_be_full(settings: Settings, small_disk: Path) -> None:
    with (small_disk / "filler").open("wb") as file:
        file.write(bytes(2**21 - 400_000))
    train = settings(output_dir=str(small_disk / "run"))
    _, err = (process := start(train)).communicate(timeout=120)
    assert process.returncode == 1
    assert "no space is left in" in err
    assert "Traceback" not in err
    (small_disk / "filler").unlink()


def test_two_machines(settings: Settings) -> None:
    meeting = {"nnodes": 2, "rdzv_endpoint": "127.0.0.1:29731", "rdzv_id": "test"}
    machines = [settings(torchrun={**meeting, "node_rank": number}) for number in (0, 1)]
    processes = [start(machine) for machine in machines]
    told = [process.communicate(timeout=150)[1] for process in reversed(processes)]
    assert [process.returncode for process in processes] == [0, 0], told
    assert losses(machines[0]) == pytest.approx(plain_loop(machines[0]), rel=1e-4)


def names(train: Train) -> list[str]:
    return sorted(folder.name for folder in (Path(train.output_dir) / "checkpoints").iterdir())


def wait_for(train: Train, name: str, process: subprocess.Popen[str]) -> None:
    while not (Path(train.output_dir) / name).exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)


def kill_at(name: str, train: Train) -> None:
    """Start a training, and kill launcher, torchrun and workers as soon as a file or folder of the run is there."""
    process = start(train)
    wait_for(train, name, process)
    for one in processes_of(train):
        one.kill()
    process.communicate()
    wait_until_gone(train)


def processes_of(train: Train) -> list[Any]:
    """The processes that name the run folder on their command lines."""
    import psutil

    found = psutil.process_iter(["cmdline"])
    return [process for process in found if train.output_dir in " ".join(process.info["cmdline"] or ())]


def wait_until_gone(train: Train) -> None:
    end = time.monotonic() + 30
    while processes_of(train):
        assert time.monotonic() < end, processes_of(train)
        time.sleep(0.1)


def leave_rubbish(train: Train) -> None:
    """What a process killed at the worst moments leaves."""
    run = Path(train.output_dir)
    (run / "checkpoints" / ".writing-samples_0000099.tmp").mkdir()
    with (run / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": 1000, "loss": 99.0}) + '\n{"step": 1001, "lo')


def difference(one: Path, other: Path) -> float:
    """The largest difference between the logits of two folders, each loaded as any script would."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    logits = []
    for folder in (one, other):
        tokens = AutoTokenizer.from_pretrained(folder)("Say red and blue.", return_tensors="pt")
        with torch.no_grad():
            logits.append(AutoModelForCausalLM.from_pretrained(folder).eval()(**tokens).logits)
    return float((logits[0] - logits[1]).abs().max())
