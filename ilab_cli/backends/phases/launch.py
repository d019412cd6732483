"""A training in phases with evaluations between them, as the command line launches it. Imports nothing heavy.

It is the training of :mod:`ilab_cli.backends.train.launch`, told what each phase hands over.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from ilab_cli.backends.evaluate import launch as evaluation
from ilab_cli.backends.outcome import Outcome
from ilab_cli.backends.phases.handover import HandOver, NotHandedOver, told
from ilab_cli.backends.train import launch as training
from ilab_cli.backends.train.launch import environment as _environment
from ilab_profiles import Evaluate, Finding, InputError, Profile, Train
from ilab_profiles.diagnostics import Severity

__all__ = [
    "Phased",
    "applies",
    "command",
    "continues",
    "environment",
    "folder",
    "foretold",
    "machine",
    "outcome",
    "predicted_and_measured",
    "preflight",
    "results",
    "run",
    "where",
]


class Phased(NamedTuple):
    """The settings: of the training, and of the evaluations."""

    train: Train
    evaluate: Evaluate


def applies(profile: Profile) -> bool:
    """Whether a training is evaluated between its phases."""
    evaluate = profile.evaluate
    return bool(profile.train.phases and evaluate.between_phases and evaluate.benchmarks)


def folder(settings: Phased) -> str:
    """The run folder."""
    return training.folder(settings.train)


def machine(settings: Phased) -> str:
    """Name of this machine in a training on several."""
    return training.machine(settings.train)


def results(settings: Phased) -> list[Path]:
    """Checkpoints and models of the phases."""
    return training.results(settings.train)


def continues(changes: Mapping[str, tuple[Any, Any]], settings: Phased) -> tuple[Severity | None, str]:
    """As of the training."""
    return training.continues(changes, settings.train)


def where(settings: Phased) -> str:
    """The hardware of the training."""
    return training.where(settings.train)


def foretold(settings: Phased) -> Outcome:
    """As of the training."""
    return training.foretold(settings.train)


def predicted_and_measured(settings: Phased) -> dict[str, dict[str, Any]]:
    """As of the training."""
    return training.predicted_and_measured(settings.train)


def environment(settings: Phased) -> dict[str, str]:
    """The variables of the training."""
    return _environment(settings.train)


def preflight(settings: Phased) -> list[Finding]:
    """All that is wrong with the training; what is wrong with the evaluations is a warning, as training needs none."""
    findings = training.preflight(settings.train)
    why = "then the next phase starts from the last checkpoint of the one before"
    off = "mend that, or set evaluate.between_phases: false"
    return findings + [
        replace(each, severity="warning", why=each.why or why, hint=each.hint or off, fix=())
        for each in _evaluation_findings(settings)
    ]


def _evaluation_findings(settings: Phased) -> list[Finding]:
    if settings.train.torchrun.nnodes > 1:
        message = "on several machines no checkpoints are evaluated between the phases"
        return [Finding("between-phases-on-one-machine", message, "evaluate.between_phases")]
    return evaluation.benchmark_findings(settings.evaluate)


def command(settings: Phased) -> list[str]:
    """The command that does it all, but for keys, which it reads from the environment."""
    sections = {"train": settings.train, "evaluate": settings.evaluate}
    data = {
        name: section.model_dump(mode="json", exclude_defaults=True, exclude=evaluation.SECRETS)
        for name, section in sections.items()
    }
    return [sys.executable, "-m", __spec__.name, "--settings", json.dumps(data, ensure_ascii=False)]


def run(settings: Phased) -> int:
    """Train phase after phase, each from the best checkpoint of the one before; returns the exit code."""
    off = {str(each) for each in _evaluation_findings(settings) if each.severity == "error"}
    try:
        return training.run(settings.train, HandOver(settings.train, settings.evaluate, "; ".join(sorted(off))))
    except NotHandedOver as error:
        return error.code


def outcome(settings: Phased) -> Outcome:
    """As of the training, with what each phase handed over."""
    found = training.outcome(settings.train)
    return replace(found, lines=(*found.lines, *told(settings.train)))


def _main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--settings", required=True, help="the train and evaluate sections of a profile, as JSON")
    try:
        profile = Profile.from_dict(json.loads(parser.parse_args().settings))
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return run(Phased(profile.train, profile.evaluate))


if __name__ == "__main__":
    sys.exit(_main())
