"""One run from checked settings to its exit code, in a run folder of its own: what commands and Python callers share.

How it is asked for, and what is said about it, is left to who asks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Protocol

from ilab_cli import output
from ilab_cli.backends.outcome import Outcome
from ilab_cli.runs.manifest import Keeper, Run
from ilab_profiles import Effective, Finding, InputError

__all__ = ["Backend", "Failed", "Job", "placed"]

_ABOUT_THE_FOLDER = {"not-a-folder", "checkpoints-exist"}
"""Rules by which back ends say of the run folder what its conflicts would say again."""
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


class Failed(RuntimeError):
    """A run that had begun was ended by what the system refuses to do with a file."""

    def __init__(self, error: OSError) -> None:
        self.finding = output.file_problem(error)
        super().__init__(str(self.finding))


class Job:
    """A run of one section, and of those that are run along with it.

    Args:
        backend: what runs the section.
        effective: the settings in force.
        section: its dotted path.
        settings: what the backend gets.
        resume: whether a run that is in the folder may go on.
        overwrite: whether what another run left in the folder is replaced.
        beside: sections that are run along with this one, by dotted path, and what knows their folders.
        command: what started it, as ``run.yaml`` tells it; by default the command line.
    """

    def __init__(
        self,
        backend: Backend,
        effective: Effective,
        section: str,
        settings: Any,
        *,
        resume: bool = True,
        overwrite: bool = False,
        beside: Mapping[str, Keeper] = _NOTHING,
        command: str = "",
    ) -> None:
        self.backend, self.effective, self.settings = backend, effective, settings
        self.resume, self.overwrite = resume, overwrite
        keepers = {section: backend, **beside}
        self.runs = [Run(name, effective, keeper, settings, command) for name, keeper in keepers.items()]

    def findings(self) -> list[Finding]:
        """Why it cannot be run as it stands, and warnings; each stands where its setting is set. Writes nothing."""
        found = self.backend.preflight(self.settings)
        told = {finding.path for finding in found if finding.rule in _ABOUT_THE_FOLDER}
        conflicts = (
            finding for run in self.runs for finding in run.conflicts(resume=self.resume, overwrite=self.overwrite)
        )
        return placed([*found, *(finding for finding in conflicts if finding.path not in told)], self.effective)

    @property
    def is_finished(self) -> bool:
        """Whether this very run was finished before, so that nothing is left to do."""
        return self.runs[0].is_finished and not self.overwrite

    def carry_out(self) -> int:
        """Launch and wait, while the folders are held; how it went is noted in each. Returns the exit code.

        Raises:
            InputError: if a folder cannot be held, or an input turns out to be unusable; nothing was started then.
            Failed: if the system ends it.
        """
        with ExitStack() as folders:
            for run in self.runs:
                folders.enter_context(run.begun(overwrite=self.overwrite))
            try:
                with output.shared_level():
                    code = self.backend.run(self.settings)
            except BrokenPipeError:
                raise
            except OSError as error:
                raise Failed(error) from error
            for run in self.runs:
                run.code = code
        return code


def placed(findings: Iterable[Finding], effective: Effective) -> list[Finding]:
    """Findings about a setting, where that is set."""
    found = []
    for finding in findings:
        origin = effective.origin(finding.path)
        above, _, number = finding.path.rpartition(".")
        if finding.position is None and origin is not None:
            finding = origin.placed(finding)
        elif finding.position is None and number.isdigit() and (items := effective.origin(above)):
            finding = items.placed(finding, (int(number),))
        found.append(_with_sound_fix(finding, effective))
    return found


def _with_sound_fix(finding: Finding, effective: Effective) -> Finding:
    """A finding without its fix if other settings do not go with that; another profile is the hint then."""
    try:
        effective.profile.replace(dict(finding.fix))
    except InputError:
        return replace(finding, fix=(), hint="choose another profile; `ilab profile list` shows which there are")
    return finding
