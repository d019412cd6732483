"""A run and its folder: ``run.yaml`` says what was run, with which settings and where each came from, and how it went.

A folder belongs to one run, and one process at a time works in it. The same command may go on with it; another one is
refused before anything is written, unless the back end knows better, or the folder holds no result yet.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from ilab_cli.backends.outcome import Outcome
from ilab_cli.command_line import dashed
from ilab_cli.extras import versions
from ilab_cli.flags.table import table
from ilab_cli.output import FAILED, INTERRUPTED, OK, TERMINATED, UNFINISHED
from ilab_cli.runs import lock
from ilab_profiles import Effective, Finding, InputError, Position
from ilab_profiles.diagnostics import Severity
from ilab_profiles.models.fields import affects_result
from ilab_profiles.models.paths import anchored, fields, section_of
from ilab_profiles.views.explain import MASK
from ilab_profiles.yaml.files import COLLISIONS, write_atomically
from ilab_profiles.yaml.read import read
from ilab_profiles.yaml.write import dump, scalar, to_data

__all__ = ["Changes", "Forecaster", "Keeper", "Run"]

MANIFEST = "run.yaml"
_STATUS = {OK: "complete"} | dict.fromkeys((INTERRUPTED, TERMINATED, UNFINISHED), "interrupted")
_OVERWRITE = "replace it with --overwrite, or choose another folder"
_INPUTS = {
    "train": ("data_path", "chat_template"),
    "evaluate": ("mmlu.data_dir", "mt.data_dir"),
    "generate": ("taxonomy_path", "config"),
    "generate.mix": ("knowledge_recipes", "skill_recipes"),
}
_DATA = "the data in "

Changes = Mapping[str, tuple[Any, Any]]
"""Settings that differ, with the value that they had and the one that they have."""


class Keeper(Protocol):
    """What a back end knows about the folders of its runs."""

    def folder(self, settings: Any, /) -> str:
        """The run folder."""

    def machine(self, settings: Any, /) -> str:
        """Name of this machine where several do one run in a folder that they share; else empty."""

    def results(self, settings: Any, /) -> list[Path]:
        """What is there of the results of a run; a folder without any may be taken over by another run."""

    def continues(self, changes: Changes, settings: Any, /) -> tuple[Severity | None, str]:
        """Whether a run goes on from another one's results, and what to do if not.

        Returns:
            ``None`` if it does, ``warning`` if it makes them again, ``error`` if it does not; and a hint.
        """


@runtime_checkable
class Forecaster(Protocol):
    """A back end that foretells what a run takes."""

    def foretold(self, settings: Any, /) -> Outcome:
        """What a run will come to, as far as it is known before it is launched."""

    def predicted_and_measured(self, settings: Any, /) -> Mapping[str, Mapping[str, Any]]:
        """What was foretold of the run in the folder, and what came so far; empty if none has begun."""


class Run:
    """A run of one section in its folder.

    Args:
        section: dotted path of the section.
        effective: the settings in force.
        backend: what runs it.
        given: the settings that the back end gets.
        command: what started it; by default the command line.
    """

    def __init__(self, section: str, effective: Effective, backend: Keeper, given: Any, command: str = "") -> None:
        self.section = section
        self.effective = effective
        self.backend = backend
        self.given = given
        self.command = command or shlex.join(["ilab", *_without_secrets(sys.argv[1:])])
        self.code = FAILED

    @cached_property
    def _model(self) -> Any:
        return attrgetter(self.section)(self.effective.profile).at_home()

    @cached_property
    def folder(self) -> Path:
        """The run folder."""
        return Path(self.backend.folder(self.given))

    @property
    def manifest(self) -> Path:
        """Path of ``run.yaml``."""
        return self.folder / MANIFEST

    @property
    def _machine(self) -> str:
        return self.backend.machine(self.given)

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The settings in force, secrets masked; with those of mixing, what it takes from those of generation."""
        above: dict[str, Any] = {}
        data: dict[str, Any] = to_data(self.effective.profile)
        for name in self.section.split("."):
            above, data = data, data[name]
        return data | {"seed": above["seed"], "generate.output_dir": above["output_dir"]} if "seed" in above else data

    @cached_property
    def inputs(self) -> dict[str, str]:
        """SHA-256 of the files that the run reads, by the setting that names them."""
        found: dict[str, str] = {}
        for name in _INPUTS[self.section]:
            given = attrgetter(name)(self._model) or ()
            paths = [Path(path) for path in ((given,) if isinstance(given, str) else given)]
            if paths and all(path.exists() for path in paths):
                found[name] = _hash(paths)
        return found

    def conflicts(self, *, resume: bool, overwrite: bool = False) -> list[Finding]:
        """Why this run must not use its folder; nothing if it may."""
        if os.path.isfile(self.folder):
            return [self._finding("it is a file, not a folder")]
        if who := lock.holder(self.folder, self._machine):
            return [self._in_use(who)]
        try:
            if not os.path.isdir(self.folder) or all(map(_is_passing, os.listdir(self.folder))):
                return []
        except OSError as error:
            return [self._finding(f"it cannot be read: {error.strerror}")]
        if not self.manifest.is_file():
            return [self._finding("it is not empty and was not made by ilab")]
        try:
            earlier = read(self.manifest).data
        except InputError as error:
            return [*error.findings, self._finding("its run.yaml cannot be read")]
        if earlier.get("section") != self.section:
            return [self._finding(f"it contains another run: {earlier.get('section')}")]
        if overwrite or not self.backend.results(self.given):
            return []
        if not resume:
            return [self._finding("it contains a run, and resume is off", hint=_OVERWRITE)]
        return self._other_run(earlier)

    @property
    def is_finished(self) -> bool:
        """Whether this very run is in the folder, and was finished."""
        try:
            earlier = read(self.manifest).data if self.manifest.is_file() else {}
        except InputError:
            return False
        done = earlier.get("status") == _STATUS[OK] and bool(self.backend.results(self.given))
        return done and not self._changes(earlier)

    @property
    def is_interrupted(self) -> bool:
        """Whether this very run is in the folder, came to no end, and nobody is at it."""
        if not self.manifest.is_file() or lock.holder(self.folder, self._machine):
            return False
        try:
            earlier = read(self.manifest).data
        except InputError:
            return False
        unfinished = earlier.get("section") == self.section and earlier.get("status") != _STATUS[OK]
        return unfinished and not self._changes(earlier)

    @property
    def status(self) -> str:
        """How the run went."""
        return _STATUS.get(self.code, "failed")

    def _other_run(self, earlier: dict[str, Any]) -> list[Finding]:
        changes = self._changes(earlier)
        if not changes:
            return []
        severity, hint = self.backend.continues(changes, self.given)
        told = "; ".join(
            f"{name} changed" if name.startswith(_DATA) else f"{name} was {scalar(then)}, is {scalar(now)}"
            for name, (then, now) in changes.items()
        )
        if severity == "warning":
            return [self._finding(f"its files will be made again: {told}", "warning", hint)]
        return [self._finding(f"it contains another run: {told}", hint=hint or _OVERWRITE)] if severity else []

    def _changes(self, earlier: dict[str, Any]) -> Changes:
        here = os.getcwd()
        then, now = _flat(earlier.get("settings") or {}), _flat(self.settings)
        meant_then = self._from(str(earlier.get("working_folder") or here), then)
        meant_now = self._from(here, now)
        changes = {
            name: (then.get(name), now.get(name))
            for name in sorted({*then, *now})
            if meant_then.get(name) != meant_now.get(name) and self._matters(name)
        }
        inputs = earlier.get("inputs") or {}
        return changes | {
            f"{_DATA}{name}": (inputs.get(name), found)
            for name, found in self.inputs.items()
            if inputs.get(name) != found
        }

    def _from(self, folder: str, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Settings with every relative path in them made one from the folder in which it was meant."""
        known = {path.removeprefix(f"{self.section}."): info for path, info in fields().items()}
        known["generate.output_dir"] = fields()["generate.output_dir"]
        return {
            name: anchored(known[name], value, folder) if name in known else value for name, value in settings.items()
        }

    def _matters(self, name: str) -> bool:
        """Whether another value of a setting of the section would make this another run."""
        model = type(self._model)
        for part in name.split("."):
            info = model.model_fields.get(part)
            if info is None:
                return True  # of another section, or of an earlier version
            if not affects_result(info):
                return False
            model = section_of(info.annotation) or model
        return True

    def _finding(self, message: str, severity: Severity = "error", hint: str = "") -> Finding:
        setting, place = f"{self.section}.output_dir", Position(str(self.folder))
        hint = hint or f"choose another {setting}"
        return Finding("output-folder-in-use", message, setting, place, hint=hint, severity=severity)

    def _in_use(self, who: str) -> Finding:
        return self._finding(f"another run works in it: {who}", hint="wait for it to end, or choose another folder")

    @contextmanager
    def begun(self, *, overwrite: bool = False) -> Iterator[None]:
        """Hold the folder, which is made if need be, for the length of a block; ``run.yaml`` says how that goes.

        The block sets ``code`` to the exit code that it comes to.

        Args:
            overwrite: whether results that are there are removed.

        Raises:
            InputError: if nothing can be written there, or another run holds it.
        """
        with lock.held(self.folder, self._machine, " ".join(self.command.split()[:2])) as other:
            if other:
                raise InputError(self._in_use(other))
            for path in self.backend.results(self.given) if overwrite else ():
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
            self._write("running")
            try:
                yield
            except KeyboardInterrupt:
                self.code = INTERRUPTED
                raise
            finally:
                self._write(self.status)

    def _write(self, status: str) -> None:
        origins = {
            path: str(setting.position())
            for path in self.effective.settings
            if path.startswith(f"{self.section}.") and (setting := self.effective.origin(path))
        }
        installed = {name: version for name, version in versions().items() if version}
        data = {
            "section": self.section,
            "status": status,
            "command": self.command,
            "working_folder": os.getcwd(),
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "settings": self.settings,
            "origins": origins,
            "inputs": self.inputs,
            "versions": {"python": platform.python_version(), **installed},
            "hardware": {"machine": platform.machine(), "system": platform.system(), "cores": os.cpu_count()},
        }
        if isinstance(self.backend, Forecaster) and (compared := self.backend.predicted_and_measured(self.given)):
            data["predicted_and_measured"] = compared
        try:
            write_atomically(self.manifest, dump(data))
        except InputError as error:
            if not self._machine or {finding.rule for finding in error.findings}.isdisjoint(COLLISIONS):
                raise  # else another machine of this run wrote the same at this moment


def _is_passing(name: str) -> bool:
    """Whether a file of a run folder tells of nothing but of processes that begin a run there at this moment."""
    return name.startswith(lock.FILE) or (name.startswith(".") and name.endswith(".tmp"))


def _without_secrets(arguments: Sequence[str]) -> list[str]:
    """A command line with the values of secret flags masked."""
    secret = {option for flags in table().flags.values() for flag in flags if flag.secret for option in flag.options}
    masked: list[str] = []
    for word in arguments:
        name, equals, _ = word.partition("=")
        if masked and dashed([masked[-1]])[0] in secret:
            word = MASK
        elif equals and dashed([name])[0] in secret:
            word = f"{name}={MASK}"
        masked.append(word)
    return masked


def _flat(data: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in data.items():
        if isinstance(value, dict):
            found.update(_flat(value, f"{prefix}{key}."))
        else:
            found[f"{prefix}{key}"] = value
    return found


def _hash(paths: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        for file in _files(path):
            with file.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def _files(path: Path) -> Iterator[Path]:
    """The file, or those of a folder in order; what is hidden in it, such as the objects of git, is left out."""
    if path.is_file():
        yield path
        return
    for folder, below, names in os.walk(path):
        below[:] = sorted(name for name in below if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith(".") and (file := Path(folder, name)).is_file():
                yield file
