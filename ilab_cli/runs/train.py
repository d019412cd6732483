"""A training as a function: what ``ilab model train`` does, for Python and for the jobs of a scheduler.

As a module, ``python -m ilab_cli.runs.train --settings JSON``, it is what a job runs on each machine.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ilab_cli import output
from ilab_cli.backends.base import main
from ilab_cli.backends.train import launch
from ilab_cli.runs.job import Failed, Job
from ilab_profiles import Effective, Profile, Train
from ilab_profiles.loading.sources import effective_of

__all__ = ["Trained", "to_run", "train"]


@dataclass(frozen=True, slots=True)
class Trained:
    """What a training came to.

    Attributes:
        model: folder of the trained model, as transformers loads it.
        metrics: the rows of ``metrics.jsonl``, one for each optimizer step; those of phases one after another.
    """

    model: Path
    metrics: tuple[Mapping[str, Any], ...]


def train(settings: Train, *, overwrite: bool = False) -> Trained:
    """Train a model, as ``ilab model train`` does with these settings: the same checks, run folder and processes.

    Progress and warnings go to stderr. A training that was stopped goes on from its last checkpoint when it is asked
    for again. Call it from the main thread of a program, which is where Python hears signals.

    Args:
        settings: the settings, as ``profile.train``; relative paths start from the working folder.
        overwrite: whether what another run left in the run folder is replaced.

    Raises:
        TypeError: if the settings are of another kind.
        InputError: with everything that is known to be wrong before the start; nothing is written then.
        RuntimeError: if the training fails, with the reason.
        KeyboardInterrupt: on Ctrl-C, after the processes have ended in order.
        SystemExit: with 143 on SIGTERM, likewise; with 75 on SIGUSR1 or after ``max_hours``, see
            :mod:`~ilab_cli.backends.train.stop`.
    """
    given: object = settings
    if not isinstance(given, Train):
        hint = "profile.train is what has them, as ilab_profiles.load makes it"
        raise TypeError(f"settings must be an ilab_profiles.Train, not {type(given).__name__}; {hint}")
    effective = effective_of(Profile(train=settings))
    code = _carry_out(effective, overwrite=overwrite, command="ilab_cli.train(...)")
    if code == output.INTERRUPTED:
        raise KeyboardInterrupt
    if code in (output.TERMINATED, output.UNFINISHED):
        raise SystemExit(code)
    done = settings.at_home()
    if code != output.OK:
        raise RuntimeError(launch.failure(done))
    return Trained(Path(done.trained_model), tuple(launch.metrics(done)))


def to_run(settings: Train, *, overwrite: bool = False) -> Train:
    """The settings as the launcher gets them, of a run that replaces what is in its folder, or goes on with it."""
    train = launch.on_these_machines(settings.at_home(), os.environ)
    return train.model_copy(update={"resume": True}) if overwrite else train  # then nothing is there to resume from


def _carry_out(effective: Effective, *, overwrite: bool, command: str) -> int:
    given = effective.profile.train
    run = to_run(given, overwrite=overwrite)
    job = Job(launch, effective, "train", run, resume=given.resume, overwrite=overwrite, command=command)
    output.judge(job.findings())
    return job.carry_out()


def _work(settings: Train) -> int:
    try:
        return _carry_out(effective_of(Profile(train=settings)), overwrite=False, command=shlex.join(sys.orig_argv))
    except Failed as error:
        print(error, file=sys.stderr)
        return output.FAILED


if __name__ == "__main__":
    sys.exit(main("train", _work))
