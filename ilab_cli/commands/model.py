"""``ilab model``: train and evaluate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import typer

from ilab_cli.options import settings_command
from ilab_cli.workflow import ConfigOption, DryRun, ProfileOption, perform

__all__ = ["add_to"]


def add_to(group: typer.Typer) -> None:
    """Add the commands to their group."""
    settings_command(group, "train", "train")(train)
    settings_command(group, "evaluate", "evaluate")(evaluate)


def train(
    *, given: Mapping[str, Any], profile: ProfileOption = None, config: ConfigOption = None, dry_run: DryRun = False
) -> None:
    """Train a model on conversations."""
    import ilab_cli.backends.train.launch as launch
    from ilab_cli.settings import in_force

    effective = in_force("train", given, profile, config)
    perform(launch, effective, "train", resume=effective.profile.train.resume, dry_run=dry_run)


def evaluate(
    *, given: Mapping[str, Any], profile: ProfileOption = None, config: ConfigOption = None, dry_run: DryRun = False
) -> None:
    """Run benchmarks on a model."""
    import ilab_cli.backends.evaluate.launch as launch
    from ilab_cli.settings import in_force
    from ilab_profiles import Finding, InputError

    effective = in_force("evaluate", given, profile, config)
    if not effective.profile.evaluate.benchmarks:
        raise InputError(
            Finding(
                "evaluation-off",
                "evaluation is off: the profile names no benchmark",
                "evaluate.benchmarks",
                hint="switch it on with --benchmarks mmlu, or with `evaluate: {benchmarks: [mmlu]}` in the profile",
            )
        )
    perform(launch, effective, "evaluate", dry_run=dry_run)
