"""The checkpoints of a training: found in its folder, chosen from, each with what is wrong with it. Loads no model."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ilab_cli.backends.evaluate.model import Model, model_in
from ilab_cli.backends.train.checkpoint import progress_of
from ilab_profiles import Finding, InputError
from ilab_profiles.diagnostics import Severity
from ilab_profiles.models.phase import phase_name
from ilab_profiles.yaml.read import read

__all__ = ["Checkpoint", "chosen", "find", "is_over", "refusals"]

_NAME = re.compile(r"samples_(\d+)")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One checkpoint.

    Attributes:
        name: ``samples_0000064``, with its phase before it in a training in phases.
        folder: where it lies.
        run: the run folder of the training, or of its phase.
        samples: samples that it was trained on, in its phase.
    """

    name: str
    folder: Path
    run: Path
    samples: int

    @property
    def steps(self) -> int:
        """Optimizer steps that led to it."""
        return progress_of(self.folder).step

    def model(self) -> Model:
        """The model in it.

        Raises:
            InputError: with everything that is wrong with it.
        """
        progress_of(self.folder)
        return model_in(self.folder, self.name, "evaluate.input_dir")

    @property
    def problem(self) -> str:
        """Why it cannot be evaluated; empty if it can."""
        try:
            self.model()
        except InputError as error:
            return error.findings[0].message
        return ""


def find(folder: Path) -> list[Checkpoint]:
    """The checkpoints in a training's run folder, one of its phases, or its ``checkpoints``, from the first one on.

    What this program did not write is no checkpoint: each has the ``training.json`` that says how far it had come.
    """
    if found := list(_in(folder, folder.parent, "")):
        return found
    if found := list(_in(folder / "checkpoints", folder, "")):
        return found
    return [each for phase in _phases(folder) for each in _in(phase / "checkpoints", phase, f"{phase.name}/")]


def _in(folder: Path, run: Path, prefix: str) -> Iterator[Checkpoint]:
    if not os.path.isdir(folder):
        return
    named = {path: match for path in folder.iterdir() if (match := _NAME.fullmatch(path.name))}
    for path, match in sorted(named.items(), key=lambda item: int(item[1][1])):
        if (path / "training.json").is_file() and not path.is_symlink():
            yield Checkpoint(prefix + path.name, path, run, int(match[1]))


def _phases(run: Path) -> list[Path]:
    """The folders of the phases of a training, in their order as far as ``run.yaml`` tells it."""
    found = sorted(path.parent for path in run.glob("*/checkpoints"))
    try:
        phases = read(run / "run.yaml").data["settings"]["phases"]
        names = [phase_name(phase.get("name"), number) for number, phase in enumerate(phases)]
    except (InputError, LookupError, TypeError, AttributeError):
        names = []
    return sorted(found, key=lambda path: names.index(path.name) if path.name in names else len(names))


def chosen(found: list[Checkpoint], which: str) -> list[Checkpoint]:
    """Those that are evaluated.

    Args:
        found: all of a training, from the first on.
        which: ``all``; ``last:N``, the newest N; ``every:N``, every Nth, the newest among them.
    """
    how, _, number = which.partition(":")
    if how == "last":
        return found[-int(number) :]
    return found[::-1][:: int(number)][::-1] if how == "every" else found


def is_over(checkpoint: Checkpoint) -> bool:
    """Whether the training that wrote it came to its end, so that nothing will be resumed from it."""
    try:
        return progress_of(checkpoint.run / "model").step >= checkpoint.steps
    except InputError:  # there is no final model
        return False


def refusals(checkpoints: list[Checkpoint]) -> Iterator[Finding]:
    """A warning for each checkpoint that is left out; an error if none is left."""
    broken = [(each, each.problem) for each in checkpoints]
    severity: Severity = "warning" if any(not problem for _, problem in broken) else "error"
    for each, problem in broken:
        if problem:
            hint = "remove it, or write it again: until then nothing is pruned"
            message = f"{each.name} is left out: {problem}"
            yield Finding("broken-checkpoint", message, "evaluate.input_dir", hint=hint, severity=severity)
