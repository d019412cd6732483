"""``ilab model``: train and evaluate."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Annotated, Any, Protocol

import typer

from ilab_cli import output, runs
from ilab_cli.flags import takes_flags
from ilab_cli.settings import in_force, shown
from ilab_profiles import Effective, Finding, InputError

__all__ = ["app"]

app = typer.Typer(help="Train and evaluate models.", no_args_is_help=True, rich_markup_mode=None)

ProfileOption = Annotated[
    str | None, typer.Option("--profile", help="Profile to use in place of the one in config.yaml", metavar="NAME")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the settings in force and the command; run nothing")]


class Backend(Protocol):
    """What runs a section: each is a module that imports nothing heavy before it is called."""

    def preflight(self, settings: Any, /) -> list[Finding]:
        """Everything that can be known to be wrong before the start."""

    def command(self, settings: Any, /) -> list[str]:
        """The command that is launched."""

    def environment(self, settings: Any, /) -> dict[str, str]:
        """The variables that the command needs."""

    def run(self, settings: Any, /) -> int:
        """Launch it and wait; returns the exit code."""


@app.command("train")
@output.reports
@takes_flags("train", "Settings")
def train(*, given: Mapping[str, Any], profile: ProfileOption = None, dry_run: DryRun = False) -> None:
    """Train a model on conversations."""
    import ilab_cli.backends.train.launch as launch

    effective = in_force("train", given, profile)
    _perform(
        launch, effective, "train", effective.profile.train, resume=effective.profile.train.resume, dry_run=dry_run
    )


@app.command("evaluate")
@output.reports
@takes_flags("evaluate", "Settings")
def evaluate(*, given: Mapping[str, Any], profile: ProfileOption = None, dry_run: DryRun = False) -> None:
    """Run benchmarks on a model."""
    import ilab_cli.backends.evaluate.launch as launch

    effective = in_force("evaluate", given, profile)
    if not effective.profile.evaluate.benchmarks:
        raise InputError(
            Finding(
                "evaluation-off",
                "evaluation is off: the profile names no benchmark",
                "evaluate.benchmarks",
                hint="switch it on with --benchmarks mmlu, or with `evaluate: {benchmarks: [mmlu]}` in the profile",
            )
        )
    _perform(launch, effective, "evaluate", effective.profile.evaluate, resume=True, dry_run=dry_run)


def _perform(
    backend: Backend, effective: Effective, section: str, settings: Any, *, resume: bool, dry_run: bool
) -> None:
    """Show or launch what a section asks for, in a run folder of its own."""
    output.warn(effective.warnings)
    if dry_run:
        print(shown(effective, section), end="")
        variables = " ".join(f"{name}={shlex.quote(value)}" for name, value in backend.environment(settings).items())
        print(f"\n{variables} {shlex.join(backend.command(settings))}".lstrip(" "))
    run = runs.Run(settings.output_dir, section, effective)
    findings = [*backend.preflight(settings), *run.conflicts(resume=resume)]
    if any(finding.severity == "error" for finding in findings):
        raise InputError(findings)
    output.warn(findings)
    if not dry_run:
        run.begin()
        code = backend.run(settings)
        run.end(code)
        raise typer.Exit(code)
