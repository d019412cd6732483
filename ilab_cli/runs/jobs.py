"""A training as a job of a scheduler: checked here as far as this machine knows, printed, or handed over."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from ilab_cli import output
from ilab_cli.backends.base import as_arguments
from ilab_cli.backends.train import launch
from ilab_cli.backends.train.jobs import kubernetes, slurm
from ilab_cli.backends.train.preflight import preflight_elsewhere
from ilab_cli.runs.job import placed
from ilab_cli.runs.manifest import Run
from ilab_profiles import Effective, Finding, Train
from ilab_profiles.models.engines import Torchrun

__all__ = ["Launcher", "hand_over", "text"]

Launcher = Literal["slurm", "kubernetes"]
_MODULE = "ilab_cli.runs.train"
_LONGEST = 40  # letters; Kubernetes makes names of pods of it, which may have 63


class _Scheduler(NamedTuple):
    """How a scheduler takes a job.

    Attributes:
        text: makes the job of the settings, its name and the command of each machine.
        program: takes the job on its standard input.
        python: the interpreter on the scheduler's machines.
        files: whether they see the files of this machine.
    """

    text: Callable[[Train, str, Sequence[str]], str]
    program: Sequence[str]
    python: str
    files: bool


_SCHEDULERS: dict[Launcher, _Scheduler] = {
    "slurm": _Scheduler(slurm.script, slurm.PROGRAM, sys.executable, files=True),
    "kubernetes": _Scheduler(kubernetes.text, kubernetes.PROGRAM, "python3", files=False),
}


def hand_over(effective: Effective, launcher: Launcher, *, submit: bool) -> int:
    """Print the job for the training that settings in force ask for, or submit it; returns the exit code.

    Raises:
        InputError: if it cannot work, or the scheduler's program is not here.
    """
    scheduler, train = _SCHEDULERS[launcher], effective.profile.train.at_home()
    findings = preflight_elsewhere(train, files=scheduler.files)
    if scheduler.files:
        findings += Run("train", effective, launch, train).conflicts(resume=train.resume)
    program = scheduler.program[0]
    if submit and not shutil.which(program):
        hint = f"without --submit the job is printed: hand it over where {program} is"
        findings.append(Finding("program-not-found", f"{program}, which submits the job, is not here", hint=hint))
    output.warn(effective.warnings)
    output.judge(placed(findings, effective))
    if not submit:
        print(text(train, launcher), end="")
        return output.OK
    done = subprocess.run(scheduler.program, input=text(train, launcher).encode(), check=False)
    return output.OK if done.returncode == 0 else output.FAILED


def text(train: Train, launcher: Launcher) -> str:
    """The job for a training, as the scheduler reads it."""
    scheduler, elsewhere = _SCHEDULERS[launcher], _elsewhere(train)
    alone = elsewhere.model_copy(update={"torchrun": Torchrun()})  # which machines there are, the scheduler says
    return scheduler.text(elsewhere, _name(train), [scheduler.python, *as_arguments(_MODULE, alone)])


def _elsewhere(train: Train) -> Train:
    """The settings as they hold on a scheduler's machines, from any folder: as many GPUs, whichever they get."""
    gpus = train.device == "cuda" or (train.device == "auto" and train.gpus != ())
    there = {"device": "cuda" if gpus else "cpu", "gpus": None, "num_gpus": train.num_processes}
    return train.with_paths(os.path.abspath).model_copy(update=there)


def _name(train: Train) -> str:
    """Name of the job, from the run folder: letters, digits and hyphens, as a DNS label has them."""
    words = re.findall("[a-z0-9]+", os.path.basename(os.path.abspath(train.output_dir)).lower())
    return "-".join(["ilab", *words])[:_LONGEST].rstrip("-")
