"""From settings in force to a run: what every workflow command says and does, whatever engine it hands them to."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from types import MappingProxyType
from typing import Any, NamedTuple

import typer

from ilab_cli import output
from ilab_cli.backends.outcome import Outcome
from ilab_cli.runs.job import Backend, Failed, Job
from ilab_cli.runs.manifest import Forecaster, Keeper
from ilab_cli.runs.outcome import outputs_aside, tell
from ilab_cli.session import chosen, in_words, origin_of
from ilab_profiles import Effective
from ilab_profiles.diagnostics import counted
from ilab_profiles.views.derived import derived
from ilab_profiles.yaml.write import dump, scalar, to_data

__all__ = ["How", "perform", "typed"]

_NOTHING: Mapping[str, Keeper] = MappingProxyType({})


class How(NamedTuple):
    """What the command line says of a run beside its settings.

    Attributes:
        profile: the profile that it names, if it names one.
        overwrite: whether what another run left in the folder is replaced.
        dry_run: whether the run is only shown.
        as_json: whether one JSON object is printed in place of what is for people.
    """

    profile: str | None = None
    overwrite: bool = False
    dry_run: bool = False
    as_json: bool = False


_AS_IT_COMES = How()


def perform(
    backend: Backend,
    effective: Effective,
    section: str,
    settings: Any,
    how: How = _AS_IT_COMES,
    *,
    resume: bool = True,
    beside: Mapping[str, Keeper] = _NOTHING,
) -> None:
    """Show or launch what a section asks for, in a run folder of its own.

    Args:
        backend: what runs the section.
        effective: the settings in force.
        section: its dotted path.
        settings: what the backend gets.
        how: what the command line says beside.
        resume: whether a run that is in the folder may go on.
        beside: sections that are run along with this one, by dotted path, and what knows their folders.

    Raises:
        InputError: if it cannot be run as it stands; nothing is written then.
    """
    output.warn(effective.warnings)
    if how.dry_run and not how.as_json:
        print(_settings(effective, section), end="")
        print(_derived(effective, section), end="")
    job = Job(backend, effective, section, settings, resume=resume, overwrite=how.overwrite, beside=beside)
    findings = job.findings()
    sound = not any(finding.severity == "error" for finding in findings)
    foretold = backend.foretold(settings) if how.dry_run and sound and isinstance(backend, Forecaster) else Outcome()
    if how.dry_run and not how.as_json:
        print(_foretold(foretold), end="")
        print(f"\n{_typed(backend, settings)}")
    output.judge(findings)
    warnings = [finding.to_dict() for finding in (*effective.warnings, *findings)]
    if how.dry_run:
        if how.as_json:
            known = {"forecast": foretold.figures} if foretold.figures else {}
            output.print_json(_planned(backend, effective, section, settings) | known | {"findings": warnings})
        return
    output.say(f"{_profile(how.profile)}; {backend.where(settings)}")
    output.detail(f"running {_typed(backend, settings)}")
    before = job.is_finished
    with outputs_aside(how.as_json):
        code = _carry_out(job)
    outcome = backend.outcome(settings) if code == output.OK else Outcome()
    if how.as_json:
        about = {
            "status": job.runs[0].status,
            "exit_code": code,
            "finished_before": before,
            "folder": str(job.runs[0].folder),
        }
        output.print_json(about | asdict(outcome) | {"findings": warnings})
    else:
        tell(outcome, before=before)
    raise typer.Exit(code)


def _planned(backend: Backend, effective: Effective, section: str, settings: Any) -> dict[str, Any]:
    """What a dry run tells a program."""
    data: Any = to_data(effective.profile)
    for name in section.split("."):
        data = data[name]
    known = {path: origin_of(effective, path) for path in effective.settings if path.startswith(f"{section}.")}
    return {
        "status": "planned",
        "settings": data,
        "origins": {path: origin for path, origin in known.items() if origin},
        "derived": {path: item.value for path, item in derived(effective.profile).items() if path.startswith(section)},
        "command": backend.command(settings),
        "environment": backend.environment(settings),
    }


def _carry_out(job: Job) -> int:
    try:
        return job.carry_out()
    except Failed as failed:  # the run had begun: nothing is wrong with what was typed
        if output.debugging():
            raise
        output.warn([failed.finding])
        return output.FAILED


def _profile(named: str | None) -> str:
    """Which profile is in force, and what chose it."""
    held, source = chosen(named)
    return f"profile {in_words(held)} ({source if source == 'default' else f'from {source}'})"


def _typed(backend: Backend, settings: Any) -> str:
    return typed(backend.environment(settings), backend.command(settings))


def typed(variables: Mapping[str, str], command: Sequence[str]) -> str:
    """A command as a person would type it in a shell."""
    return " ".join([*(f"{name}={shlex.quote(value)}" for name, value in variables.items()), shlex.join(command)])


# --- what a dry run prints --------------------------------------------------------------------------------------------


def _settings(effective: Effective, section: str) -> str:
    """One section of the settings in force as YAML, each value with a comment that names who set it."""
    data: Any = to_data(effective.profile)
    text, indent = "", 0
    for name in section.split("."):
        text += f"{' ' * indent}{scalar(name)}:\n"
        data, indent = data[name], indent + 2
    return text + dump(data, lambda path: origin_of(effective, path), prefix=f"{section}.", indent=indent)


def _foretold(outcome: Outcome) -> str:
    """What a run will come to, as comments of YAML; empty if nothing is known."""
    return "".join(["\n# which takes:\n", *(f"# {line}\n" for line in outcome.lines)]) if outcome.lines else ""


def _derived(effective: Effective, section: str) -> str:
    """What follows from a section's settings, as comments of YAML with the formula; empty if nothing does."""
    found = [item for path, item in derived(effective.profile).items() if path.startswith(f"{section}.")]
    lines = [
        f"# {item.path.removeprefix(f'{section}.')}: {counted(scalar(item.value), item.unit)}"
        + f"  = {item.formula} = {item.numbers}\n"
        for item in found
    ]
    return "".join(["\n# which means:\n", *lines]) if lines else ""
