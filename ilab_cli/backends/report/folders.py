"""Run folders: what ``run.yaml`` says of a run, ready to be shown; what it must not show is masked once more."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ilab_cli.backends.report.rows import mapping, text
from ilab_profiles import Finding, InputError, Position
from ilab_profiles.models.paths import is_secret
from ilab_profiles.views.explain import MASK
from ilab_profiles.yaml.read import read as read_yaml
from ilab_profiles.yaml.write import scalar

__all__ = ["KINDS", "MANIFEST", "RunFolder", "read_runs"]

MANIFEST = "run.yaml"
KINDS = {
    "generate": "generation",
    "generate.mix": "mixing",
    "train": "training",
    "evaluate": "evaluation",
}
"""The sections that runs are of, in the order in which one builds on another, and what such a run is called."""
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

Holder = Callable[[Path], str]
"""Says who works in a folder at this moment; empty if nobody does."""


@dataclass(frozen=True)
class RunFolder:
    """A run as its folder tells it.

    Attributes:
        key: a letter that stands for it on the page; unlike a colour, everybody can tell it from the others.
        number: its place among the runs, from 0.
        folder: where it lies.
        name: what it is called, unlike any other run of the page.
        section: dotted path of the section of settings that was run.
        status: ``complete``, ``interrupted``, ``failed`` or ``running``.
        remark: what follows from the status for who reads the page, if anything does.
        settings: every setting with its dotted path, as YAML writes it.
        origins: where settings were set, by the same path; what is missing there is a default.
        about: command, time, versions, hardware and hashes of what was read, as text.
        findings: warnings about files of the folder, collected while they are read.
    """

    key: str
    number: int
    folder: Path
    name: str
    section: str
    status: str
    remark: str
    settings: Mapping[str, str]
    origins: Mapping[str, str]
    about: Mapping[str, str]
    data: Mapping[str, Any] = field(repr=False)
    findings: list[Finding] = field(default_factory=list)

    @property
    def kind(self) -> str:
        """What kind of run it is, in a word."""
        return KINDS[self.section]


def read_runs(paths: Sequence[Path], holder: Holder) -> list[RunFolder]:
    """The runs in folders, each once, in the order in which they are given.

    Args:
        paths: run folders, or the folders of evaluations, in which ``latest`` leads to a run.
        holder: says who works in a folder.

    Raises:
        InputError: with all that keeps folders from being shown.
    """
    findings: list[Finding] = []
    found: dict[Path, dict[str, Any]] = {}
    for path in paths:
        folder = _run_in(path)
        if folder is None:
            findings.append(_no_run(path))
        elif folder not in found:
            try:
                found[folder] = _manifest(folder)
            except InputError as error:
                findings += error.findings
    if findings:
        raise InputError(findings)
    names = _names([*found])
    return [_run(number, folder, names[folder], data, holder) for number, (folder, data) in enumerate(found.items())]


def _run_in(path: Path) -> Path | None:
    """The run folder that a path means, with no symbolic link in it."""
    for folder in (path, path / "latest"):
        if (folder / MANIFEST).is_file():
            return folder.resolve()
    return None


def _no_run(path: Path) -> Finding:
    message = "it holds no run" if path.is_dir() else "it is no folder" if path.exists() else "it does not exist"
    hint = f"name a folder in which ilab left a {MANIFEST}"
    below = sorted(file.parent.name for file in path.glob(f"*/{MANIFEST}")) if path.is_dir() else []
    if below:
        hint = f"runs lie in it: {', '.join(below[:5])}{', …' if len(below) > 5 else ''}"
    return Finding("no-run", message, position=Position(str(path)), hint=hint)


def _manifest(folder: Path) -> dict[str, Any]:
    file = folder / MANIFEST
    data: dict[str, Any] = read_yaml(file).data
    if data.get("section") not in KINDS:
        raise InputError(
            Finding(
                "no-run",
                f"it tells of no run that can be shown: section {text(data.get('section')) or 'is missing'}",
                position=Position(str(file)),
                hint=f"a page can be made of runs of {', '.join(KINDS)}",
            )
        )
    return data


def _names(folders: Sequence[Path]) -> dict[Path, str]:
    """The shortest ends of paths that tell folders apart, from the names up."""
    names = {folder: folder.name for folder in folders}
    for length in range(2, max((len(folder.parts) for folder in folders), default=0)):
        taken = list(names.values())
        if len({*taken}) == len(taken):
            break
        alike = [folder for folder, name in names.items() if taken.count(name) > 1]
        names |= {folder: "/".join(folder.parts[-length:]) for folder in alike}
    return names


def _run(number: int, folder: Path, name: str, data: dict[str, Any], holder: Holder) -> RunFolder:
    section = str(data["section"])
    status = text(data.get("status")) or "unknown"
    letter = _LETTERS[number % len(_LETTERS)] + str(number // len(_LETTERS) or "")
    return RunFolder(
        key=letter,
        number=number,
        folder=folder,
        name=text(name),
        section=section,
        status=status,
        remark=_remark(status, holder(folder)),
        settings=_settings(section, data.get("settings")),
        origins={_below(section, path): text(origin) for path, origin in mapping(data.get("origins")).items()},
        about=dict(_about(data)),
        data=data,
    )


def _remark(status: str, holder: str) -> str:
    if holder:
        return f"It is going on ({text(holder)}): the page shows what there was when it was made."
    return {
        "running": "It ended without a word, as a killed run does: the page shows what it left.",
        "interrupted": "It was interrupted: the same command goes on with it.",
        "failed": "It failed: the page shows what it left.",
        "complete": "",
    }.get(status, "How it went is not known.")


def _settings(section: str, given: object) -> dict[str, str]:
    found: dict[str, str] = {}
    for path, value in _flat(mapping(given)).items():
        secret = value is not None and is_secret(f"{section}.{path}")
        found[path] = MASK if secret else text(scalar(value) if not isinstance(value, str) else value)
    return found


def _flat(data: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by their dotted path; phases are counted from 0."""
    found: dict[str, Any] = {}
    for key, value in data.items():
        if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
            value = {str(at): item for at, item in enumerate(value)}
        if isinstance(value, dict) and value:
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def _below(section: str, path: str) -> str:
    return str(path).removeprefix(f"{section}.")


def _about(data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
    hardware, versions = mapping(data.get("hardware")), mapping(data.get("versions"))
    rows = [
        ("status", text(data.get("status"))),
        ("last told", text(data.get("time"))),
        ("command", text(data.get("command"))),
        ("working folder", text(data.get("working_folder"))),
        ("machine", ", ".join(f"{text(name)} {text(value)}" for name, value in hardware.items())),
        ("versions", ", ".join(f"{text(name)} {text(value)}" for name, value in versions.items())),
        *((f"SHA-256 of {text(name)}", text(value)) for name, value in mapping(data.get("inputs")).items()),
    ]
    return [(name, value) for name, value in rows if value]
