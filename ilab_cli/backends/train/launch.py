"""Launching a training: the exact torchrun command, its environment, and how it ends. Imports nothing heavy."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from ilab_cli.backends.base import as_arguments, gpus_in_words, interrupted, main, start, stoppable, wait
from ilab_cli.backends.hardware import on_cpu, visible
from ilab_cli.backends.outcome import Outcome
from ilab_cli.backends.train import forecast, network
from ilab_cli.backends.train.ended import FAILURE, LOG, failure, metrics, outcome
from ilab_cli.backends.train.stop import StopOfAll, deaf, read_note
from ilab_profiles import Finding, Train
from ilab_profiles.diagnostics import Severity, counted
from ilab_profiles.hardware.cores import cores
from ilab_profiles.models.engines import Torchrun

__all__ = [
    "FAILURE",
    "LAUNCHED",
    "command",
    "continues",
    "environment",
    "failure",
    "folder",
    "foretold",
    "last_model",
    "machine",
    "metrics",
    "on_these_machines",
    "outcome",
    "predicted_and_measured",
    "preflight",
    "results",
    "run",
    "where",
]

LAUNCHED = "ILAB_LAUNCHED"
"""Environment variable that tells workers that a launcher started them: it reads their stdout and holds their stdin."""
_PATIENCE = 40  # seconds; torchrun itself gives its workers 30
_KEEP_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**40)}
"""On the CPU glibc hands each large tensor back to the system and has its pages cleared anew for the next one: with a
vocabulary of 32,000 words that takes two thirds of the time. It keeps the memory instead."""


def folder(train: Train) -> str:
    """The run folder."""
    return train.output_dir


def machine(train: Train) -> str:
    """Name of this machine in a training on several."""
    return f"-{platform.node()}-{train.torchrun.node_rank}" if train.torchrun.nnodes > 1 else ""


def on_these_machines(train: Train, variables: Mapping[str, str]) -> Train:
    """The settings with the machines that a scheduler names, unless they name a place to meet themselves.

    Args:
        train: the settings.
        variables: the environment, in which a scheduler sets the variables that torchrun reads: ``PET_NNODES``,
            ``PET_NODE_RANK``, ``PET_MASTER_ADDR`` and ``PET_MASTER_PORT``.
    """
    machines = variables.get("PET_NNODES", "")
    if not machines.isdigit() or train.torchrun.rdzv_endpoint or train.torchrun.master_addr:
        return train
    if int(machines) == 1:
        return train.model_copy(update={"torchrun": Torchrun()})
    rank, address, port = (variables.get(f"PET_{name}") for name in ("NODE_RANK", "MASTER_ADDR", "MASTER_PORT"))
    met = Torchrun.model_validate(
        {
            "nnodes": int(machines),
            "node_rank": int(rank or 0),
            "master_addr": address,
            "master_port": int(port) if port else None,
        }
    )
    return train.model_copy(update={"torchrun": met})


def results(train: Train) -> list[Path]:
    """Checkpoints and models that are in the run folder, and the folders of phases that hold such."""
    kept = ("checkpoints", "model")
    run = Path(train.output_dir)
    below = sorted(run.iterdir()) if run.is_dir() else []
    return [path for path in below if path.name in kept or any((path / name).is_dir() for name in kept)]


def continues(changes: Mapping[str, tuple[Any, Any]], train: Train) -> tuple[Severity | None, str]:
    """A finished training goes on for more epochs where that changes none of the steps that are done."""
    if set(changes) != {"num_epochs"}:
        return "error", ""
    then, now = changes["num_epochs"]
    if now > then and train.lr_schedule == "constant":
        return None, ""
    hint = "with lr_schedule: constant a training can be extended; else start from its model, in another folder: "
    return "error", f"{hint}--model-path {train.trained_model} --output-dir NEW"


def where(train: Train) -> str:
    """The processor or the GPUs, and how many processes."""
    if on_cpu(train.device, train.gpus):
        return f"on the CPU, {counted(train.num_processes, 'processes')}"
    return f"on {gpus_in_words(train.gpus, train.num_processes)}"


def foretold(train: Train) -> Outcome:
    """Steps and tokens, memory and disk, as they are known before the launch."""
    from ilab_cli.backends.train.planned import foretold

    return foretold(train)


def predicted_and_measured(train: Train) -> dict[str, dict[str, Any]]:
    """Memory, time and disk as they were foretold and as they came, for ``run.yaml``."""
    return forecast.side_by_side(train)


def preflight(train: Train) -> list[Finding]:
    """All that can be known to be wrong before the launch, warnings included. Never writes."""
    from ilab_cli.backends.train.preflight import preflight

    return preflight(train)


def command(train: Train) -> list[str]:
    """The command that does this training, complete in itself: typed by hand it does the same run.

    A training in several phases is one command too; each phase's own is ``command(phase)`` for
    ``phase in train.runs()``.
    """
    if train.phases:
        return [sys.executable, *as_arguments("ilab_cli.backends.train.launch", train)]
    return [
        *(sys.executable, "-m", "torch.distributed.run", *_machines(train)),
        *("--nproc-per-node", str(train.num_processes), *as_arguments("ilab_cli.backends.train.worker", train)),
    ]


def _machines(train: Train) -> list[str]:
    """Options of torchrun that say how the machines find each other."""
    torchrun = train.torchrun
    if torchrun.nnodes == 1:
        return ["--standalone"]
    options: dict[str, object] = {"--nnodes": torchrun.nnodes, "--node-rank": torchrun.node_rank}
    if torchrun.rdzv_endpoint:
        options |= {"--rdzv-backend": "c10d", "--rdzv-endpoint": torchrun.rdzv_endpoint, "--rdzv-id": torchrun.rdzv_id}
    else:
        options |= {"--master-addr": torchrun.master_addr, "--master-port": torchrun.master_port}
    return [part for name, value in options.items() if value is not None for part in (name, str(value))]


def environment(train: Train) -> dict[str, str]:
    """Variables that the processes of a training need: the GPUs they see, their shares of the cores, the network."""
    variables: dict[str, str] = {}
    if "OMP_NUM_THREADS" not in os.environ:
        variables["OMP_NUM_THREADS"] = str(max(1, cores() // train.num_processes))
    if train.is_for_cpu:
        variables |= {name: value for name, value in _KEEP_MEMORY.items() if name not in os.environ}
    elif "PYTORCH_CUDA_ALLOC_CONF" not in os.environ:
        variables["PYTORCH_CUDA_ALLOC_CONF"] = "expandable_segments:True"  # else batches of many shapes break memory up
    if train.device == "cpu" or train.gpus is not None:
        variables |= visible(() if train.device == "cpu" else train.gpus or ())
    if train.torchrun.nnodes > 1:
        reached = network.variables(train.torchrun)
        variables |= {name: value for name, value in reached.items() if name not in os.environ}
    return variables


def last_model(phase: Train) -> str:
    """What the next phase starts from, unless somebody knows better: the model of the one before."""
    return phase.trained_model


def run(train: Train, hand_over: Callable[[Train], str] = last_model) -> int:
    """Do a training, phase after phase; one that was interrupted goes on where it was.

    Args:
        train: the settings.
        hand_over: called with each phase, or the training, when it is over: the folder of the model that comes of it.

    Returns:
        0 if it is done, 1 if it failed (one line on stderr says why), 130 if it was interrupted, 143 or 75 if it was
        stopped, see :mod:`~ilab_cli.backends.train.stop`.

    Raises:
        InputError: if the data or the model cannot be used; then nothing was started.
    """
    from ilab_cli.backends.train.data.dataset import prepare

    with stoppable(), StopOfAll(train.max_hours) as stop:
        try:
            model = ""
            for phase in train.runs():
                phase = phase.model_copy(update={"model_path": model or phase.model_path})
                if stop.terminated:
                    print("stopped before the next phase; the same command goes on", file=sys.stderr)
                    return stop.code
                prepare(phase)
                if code := _launch(phase, stop):
                    return code
                model = hand_over(phase)
            _link_last_model(train, model)
        except KeyboardInterrupt:
            print("interrupted; the same command continues from the last checkpoint", file=sys.stderr)
            return interrupted()
    return 0


def _link_last_model(train: Train, last: str) -> None:
    """Let ``model`` in the run folder be the last phase's, where the system has symbolic links."""
    link = Path(train.trained_model)
    if train.phases and not link.exists():
        with suppress(OSError, NotImplementedError):
            link.unlink(missing_ok=True)
            link.symlink_to(os.path.relpath(last, train.output_dir))


def _launch(train: Train, stop: StopOfAll) -> int:
    """Run the workers of one phase to their end; their messages go to our stderr, their noise to a log."""
    began = time.monotonic()
    folder = Path(train.output_dir)
    (folder / FAILURE).unlink(missing_ok=True)
    read_note(folder)
    variables = environment(train) | {LAUNCHED: "1"}
    with (folder / LOG).open("ab") as log, deaf():
        process = start(command(train), variables, stdin=subprocess.PIPE, stdout=2, stderr=log)
    with process, stop.passed_on(process):  # then the pipe to the workers is closed, and ends those torchrun left
        code = wait(process, _PATIENCE, signal.SIGHUP)
    if code == 0 and (stopped := read_note(folder)):
        after = timedelta(seconds=round(time.monotonic() - began))
        print(f"stopped at {stopped} after {after}; the same command goes on", file=sys.stderr)
        return stop.code
    if code == 0:
        return 0
    print(f"training failed: {failure(train)}\n    more in {folder / LOG}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main("train", run))
