"""Memory: a warning where a training will not fit, and measured beside estimated where it ran out."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ilab_cli.backends.train import launch, memory
from ilab_cli.backends.train.data.dataset import examine
from ilab_profiles import Finding, Profile, Train
from tests.ilab_cli.backends.train.conftest import ROOT, metrics, start
from tests.ilab_cli.backends.train.test_training import processes_of, wait_for

pytest.importorskip("accelerate", reason="needs the train extra")
Settings = Callable[..., Train]


def about_memory(train: Train) -> list[Finding]:
    return [finding for finding in launch.preflight(train) if finding.rule == "memory-will-not-fit"]


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Lets this machine have so many bytes of main memory, and no GPU."""
    from ilab_profiles.hardware import machine

    found = replace(machine.here(), gpus=())
    return lambda size: monkeypatch.setattr(machine, "here", lambda: replace(found, memory=int(size)))


def test_a_training_that_will_not_fit_is_warned_of_with_what_fits(
    settings: Settings, free: Callable[[float], None]
) -> None:
    train = settings(max_seq_len=512, max_batch_len=200_000, effective_batch_size=8000)
    free(2**40)
    assert about_memory(train) == []
    takes = memory.estimate(train, int(examine(train).lengths.max()))
    assert takes is not None
    whole = memory.estimate(train)
    assert whole is not None
    assert takes.peak < whole.peak, "short conversations fill no batch"

    free(takes.peak * 0.8)
    (finding,) = about_memory(train)
    assert (finding.severity, finding.path) == ("warning", finding.fix[0][0])
    assert "a process takes about" in finding.message
    assert f"this machine has {takes.peak * 0.8 / 2**30:.1f} GiB for it" in finding.message
    assert "activations" in finding.why
    mended = Profile(train=train).replace(dict(finding.fix)).train
    assert about_memory(mended) == []

    free((takes.peak + takes.high) / 2)
    (finding,) = about_memory(train)
    assert "a process may take about" in finding.message

    free(takes.high * 1.5)
    assert about_memory(train) == []
    assert about_memory(
        train.model_copy(update={"num_gpus": 2, "effective_batch_size": 16000, "oversubscribe": True})
    ), "each needs as much"


def test_what_will_not_fit_is_launched_all_the_same(settings: Settings, free: Callable[[float], None]) -> None:
    from ilab_cli.runs.job import Job
    from ilab_profiles.loading.sources import effective_of

    free(10**6)
    train = settings()
    findings = Job(launch, effective_of(Profile(train=train)), "train", train).findings()
    assert [(finding.rule, finding.severity) for finding in findings] == [("memory-will-not-fit", "warning")]


LIMITED = """
import resource, sys, torch, transformers, accelerate
from ilab_cli.backends.train import training
real = training.Training.step
def step(self, number):
    if number == 2:
        import psutil
        size = psutil.Process().memory_info().vms + 2**26
        resource.setrlimit(resource.RLIMIT_AS, (size, size))
        torch.zeros(10**9)
    return real(self, number)
training.Training.step = step
from ilab_cli.backends.train.worker import main
main()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit of memory")
def test_out_of_memory_shows_measured_beside_estimated(settings: Settings, tmp_path: Path) -> None:
    """A limit of the system on the memory of the worker, which it comes to in its third step."""
    train = settings(num_epochs=50)
    Path(train.output_dir).mkdir()
    command = launch.command(train)
    at = command.index("ilab_cli.backends.train.worker")
    (tmp_path / "limited.py").write_text(LIMITED)
    command[at - 1 : at + 1] = [str(tmp_path / "limited.py")]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 1
    reason, measured, estimated, fix = launch.failure(train).split("\n    ")
    assert "DefaultCPUAllocator: can't allocate memory" in reason
    held = max(row["memory"] for row in metrics(train)) / 2**20
    said = re.fullmatch(
        r"measured: it ended in step 3; ([\d,]+) MiB of this process at most, .* are free now", measured
    )
    assert said
    assert float(said[1].replace(",", "")) == pytest.approx(held, rel=0.2)
    assert re.fullmatch(r"estimated: about \d+ MiB \(\d+ MiB to .*\) of a process, most of it Python .* MiB", estimated)
    assert fix.startswith("fix: lower train.max_batch_len")


def test_a_process_that_the_system_kills_is_told_with_measured_and_estimated(settings: Settings) -> None:
    train = settings(num_epochs=2000)
    process = start(train)
    wait_for(train, "metrics.jsonl", process)
    worker = next(each for each in processes_of(train) if _is_worker(each.cmdline()))
    worker.send_signal(signal.SIGKILL)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "training failed: a process was killed (signal 9), as the system does where memory runs out\n" in err
    assert re.search(r"measured: it ended in step \d+; \d+ MiB of a process at most until step \d+\n", err)
    assert re.search(r"estimated: about \d+ MiB .*\n    fix: ", err)


def _is_worker(words: list[str]) -> bool:
    return "torch.distributed.run" not in words and "ilab_cli.backends.train.worker" in words


def test_the_change_that_would_fit_is_told(tmp_path: Path) -> None:
    from ilab_cli.backends.train import forecast
    from ilab_cli.backends.train.memory import compared

    change = {"settings": {"train.max_batch_len": 2500}, "price": ["more microbatches"], "peak": 2**31}
    parts = [["logits", 2**31], ["weights", 2**30], ["gradients", 2**30], ["rest", 5]]
    sizes = {"predicted": 5 * 2**30, "low": 2**32, "high": 6 * 2**30, "room": 2**31}
    forecast.begin(tmp_path, {"device": "CPU", **sizes, "parts": parts, "change": change}, None)
    assert compared(tmp_path) == (
        "\n    measured: it ended before the end of the first step"
        "\n    estimated: about 5.0 GiB (4.0 GiB to 6.0 GiB) of a process, most of it logits 2.0 GiB, weights 1.0 GiB, "
        "gradients 1.0 GiB"
        "\n    fix: train.max_batch_len: 2500 takes 2.0 GiB: more microbatches"
    )
    (tmp_path / "metrics.jsonl").write_text(json.dumps({"step": 7, "memory": 3 * 2**30}) + "\n")
    assert "measured: it ended in step 8; 3.0 GiB of a process at most until step 7\n" in compared(tmp_path)


def test_most_memory_stays_when_it_is_given_back() -> None:
    from ilab_cli.backends.hardware import most_memory

    before = most_memory()
    held = bytearray(b"1" * (64 * 2**20))
    most = most_memory()
    assert most >= before + 32 * 2**20 - 2**20
    del held
    assert most_memory() >= most
