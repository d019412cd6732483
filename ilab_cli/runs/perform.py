"""From settings in force to a run: what every workflow command does, whatever engine it hands them to."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import typer

from ilab_cli import output
from ilab_cli.backends.outcome import Outcome
from ilab_cli.runs.manifest import Keeper, Run
from ilab_cli.runs.outcome import outputs_aside, tell
from ilab_cli.session import chosen, in_words, origin_of
from ilab_profiles import Effective, Finding, InputError
from ilab_profiles.diagnostics import counted
from ilab_profiles.views.derived import derived
from ilab_profiles.yaml.write import dump, scalar, to_data

__all__ = ["Backend", "perform", "typed"]

_NOTHING: Mapping[str, Keeper] = MappingProxyType({})


class Backend(Keeper, Protocol):
    """What runs a section: each is a module that imports nothing heavy before it is called."""

    def preflight(self, settings: Any, /) -> list[Finding]:
        """Everything that can be known to be wrong before the start."""

    def command(self, settings: Any, /) -> list[str]:
        """The command that is launched."""

    def environment(self, settings: Any, /) -> dict[str, str]:
        """The variables that the command needs."""

    def where(self, settings: Any, /) -> str:
        """The hardware or the endpoint that does the work, in words."""

    def run(self, settings: Any, /) -> int:
        """Launch it and wait; returns the exit code."""

    def outcome(self, settings: Any, /) -> Outcome:
        """What a run that ended well came to."""


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
        print(f"\n{_typed(backend, settings)}")
    together = [Run(name, effective, keeper, settings) for name, keeper in {section: backend, **beside}.items()]
    conflicts = (finding for run in together for finding in run.conflicts(resume=resume, overwrite=how.overwrite))
    findings = _placed([*backend.preflight(settings), *conflicts], effective)
    output.judge(findings)
    warnings = [finding.to_dict() for finding in (*effective.warnings, *findings)]
    if how.dry_run:
        if how.as_json:
            output.print_json(_planned(backend, effective, section, settings) | {"findings": warnings})
        return
    output.say(f"{_profile(how.profile)}; {backend.where(settings)}")
    output.detail(f"running {_typed(backend, settings)}")
    before = together[0].is_finished and not how.overwrite
    with outputs_aside(how.as_json):
        code = _carry_out(backend, settings, together, overwrite=how.overwrite)
    outcome = backend.outcome(settings) if code == output.OK else Outcome()
    if how.as_json:
        about = {
            "status": together[0].status,
            "exit_code": code,
            "finished_before": before,
            "folder": str(together[0].folder),
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


def _carry_out(backend: Backend, settings: Any, together: Sequence[Run], *, overwrite: bool) -> int:
    """Launch and wait, while the folders are held; how it went is noted in each. Returns the exit code."""
    with ExitStack() as folders:
        for run in together:
            folders.enter_context(run.begun(overwrite=overwrite))
        output.share_level()
        code = _run(backend, settings)
        for run in together:
            run.code = code
    return code


def _run(backend: Backend, settings: Any) -> int:
    try:
        return backend.run(settings)
    except BrokenPipeError:
        raise
    except OSError as error:  # the run had begun: it failed, and nothing is wrong with what was typed
        if output.debugging():
            raise
        output.warn([output.file_problem(error)])
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


def _placed(findings: Sequence[Finding], effective: Effective) -> list[Finding]:
    """Findings about a setting, where that is set."""
    placed = []
    for finding in findings:
        origin = effective.origin(finding.path)
        if finding.position is None and origin is not None:
            finding = origin.placed(finding)
        placed.append(_with_sound_fix(finding, effective))
    return placed


def _with_sound_fix(finding: Finding, effective: Effective) -> Finding:
    """A finding without its fix if other settings do not go with that; another profile is the hint then."""
    try:
        effective.profile.replace(dict(finding.fix))
    except InputError:
        return replace(finding, fix=(), hint="choose another profile; `ilab profile list` shows which there are")
    return finding


# --- what a dry run prints --------------------------------------------------------------------------------------------


def _settings(effective: Effective, section: str) -> str:
    """One section of the settings in force as YAML, each value with a comment that names who set it."""
    data: Any = to_data(effective.profile)
    text, indent = "", 0
    for name in section.split("."):
        text += f"{' ' * indent}{scalar(name)}:\n"
        data, indent = data[name], indent + 2
    return text + dump(data, lambda path: origin_of(effective, path), prefix=f"{section}.", indent=indent)


def _derived(effective: Effective, section: str) -> str:
    """What follows from a section's settings, as comments of YAML with the formula; empty if nothing does."""
    found = [item for path, item in derived(effective.profile).items() if path.startswith(f"{section}.")]
    lines = [
        f"# {item.path.removeprefix(f'{section}.')}: {counted(scalar(item.value), item.unit)}"
        + f"  = {item.formula} = {item.numbers}\n"
        for item in found
    ]
    return "".join(["\n# which means:\n", *lines]) if lines else ""
