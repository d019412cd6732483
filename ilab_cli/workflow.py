"""From settings in force to a run: what every workflow command does, whatever engine it hands them to."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from ilab_cli import completion, output

if TYPE_CHECKING:
    from ilab_profiles import Effective, Finding

__all__ = ["Backend", "ConfigOption", "DryRun", "ProfileOption", "perform"]

ProfileOption = Annotated[
    str | None,
    typer.Option(
        "--profile",
        help="Profile to use in place of the one in config.yaml",
        metavar="NAME",
        autocompletion=completion.profiles,
    ),
]
ConfigOption = Annotated[
    str | None,
    typer.Option("--config", help="File of settings (YAML or JSON) that go over all but flags", metavar="FILE"),
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


def perform(backend: Backend, effective: Effective, section: str, *, resume: bool = True, dry_run: bool) -> None:
    """Show or launch what a section asks for, in a run folder of its own.

    Raises:
        InputError: if it cannot be run as it stands; nothing is written then.
    """
    from ilab_cli import runs
    from ilab_cli.settings import derived_values, shown
    from ilab_profiles import InputError

    settings = getattr(effective.profile, section)
    output.warn(effective.warnings)
    if dry_run:
        print(shown(effective, section), end="")
        print(derived_values(effective, section), end="")
        print(f"\n{_typed(backend, settings)}")
    run = runs.Run(settings.output_dir, section, effective)
    findings = _placed([*backend.preflight(settings), *run.conflicts(resume=resume)], effective)
    if any(finding.severity == "error" for finding in findings):
        raise InputError(findings)
    output.warn(findings)
    if not dry_run:
        output.detail(f"running {_typed(backend, settings)}")
        run.begin()
        code = backend.run(settings)
        run.end(code)
        raise typer.Exit(code)


def _typed(backend: Backend, settings: Any) -> str:
    """The command as a person would type it to get the same run."""
    variables = [f"{name}={shlex.quote(value)}" for name, value in backend.environment(settings).items()]
    return " ".join([*variables, shlex.join(backend.command(settings))])


def _placed(findings: Sequence[Finding], effective: Effective) -> list[Finding]:
    """Findings about a setting, where that is set."""
    placed = []
    for finding in findings:
        origin = effective.origin(finding.path)
        if finding.position is None and origin is not None:
            position = origin.position()
            line = origin.document.line(position.line) if origin.document else ""
            finding = replace(finding, position=position, line_text=line)
        placed.append(finding)
    return placed
