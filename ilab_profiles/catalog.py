"""Where profiles come from: built in, the user's own folder, or a file.

The catalogue turns a name or a path into a file. Nothing is read here; what a profile extends is the business of
:mod:`ilab_profiles.inheritance`.
"""

from __future__ import annotations

import os
import sys
from functools import cache
from pathlib import Path
from typing import TypeAlias

from ilab_profiles.diagnostics import Finding, InputError, Position, nearest

__all__ = [
    "DEFAULT",
    "RESERVED",
    "Name",
    "built_in_files",
    "built_in_folder",
    "built_in_name",
    "find",
    "names",
    "real",
    "user_folder",
]

Name: TypeAlias = str | os.PathLike[str]
"""Name or path of a profile."""

DEFAULT = "cpu_only"
RESERVED = frozenset({"ILAB_CONFIG", "ILAB_PROFILE", "ILAB_PROFILE_DIR"})
"""Variables that choose files and profiles; every other one of the program's sets a value."""
_SUFFIXES = (".yaml", ".yml", ".json")


@cache
def built_in_folder() -> Path:
    """The folder of the profiles that ship with the library: inside the package, or beside it in a checkout."""
    package = Path(__file__).parent
    inside = package / "profiles"
    return inside if inside.is_dir() else package.parent / "profiles"


def user_folder() -> Path:
    """The folder of the user's own profiles: ``$ILAB_PROFILE_DIR``, else ``ilab/profiles`` in the config folder."""
    if chosen := os.environ.get("ILAB_PROFILE_DIR"):
        return _home(chosen)
    if sys.platform == "win32":
        base = _home(os.environ.get("APPDATA", "~/AppData/Roaming"))
    elif sys.platform == "darwin":
        base = _home("~/Library/Application Support")
    else:
        base = _home(os.environ.get("XDG_CONFIG_HOME") or "~/.config")
    return base / "ilab" / "profiles"


def _home(path: str) -> Path:
    """A path with ``~`` replaced, where that is known: unlike ``Path.expanduser``, this never fails."""
    return Path(os.path.expanduser(path))


def _files() -> dict[str, Path]:
    """Every profile that has a name; the user's own come before built-in ones of the same name."""
    return {**_named(built_in_folder()), **_named(user_folder())}


def _named(folder: Path) -> dict[str, Path]:
    paths = sorted(folder.rglob("*")) if os.path.isdir(folder) else []
    return {
        path.relative_to(folder).with_suffix("").as_posix().replace("-", "_"): path
        for path in paths
        if path.suffix in _SUFFIXES and path.is_file()
    }


def built_in_files() -> dict[str, Path]:
    """The profiles that ship with the library, by name."""
    return _named(built_in_folder())


def built_in_name(path: Path) -> str | None:
    """The name of the built-in profile that stands in a file; ``None`` for any other file."""
    full, folder = path.absolute(), built_in_folder().absolute()
    return full.relative_to(folder).with_suffix("").as_posix() if full.is_relative_to(folder) else None


def names() -> list[str]:
    """The names that can be loaded, the sub-profiles right after their profile."""
    return sorted(_files())


def find(name: Name, *, beside: Path | None = None, asked_at: tuple[Position, str] | None = None) -> Path:
    """The file of a profile.

    Args:
        name: a name of the catalogue (``-`` or ``_``), or a path if it ends in .yaml, .yml or .json.
        beside: folder that a relative path starts from; the working folder if not given.
        asked_at: where the name stands, and that line, for the finding.

    Raises:
        InputError: if there is none; the nearest name is the hint.
    """
    position, line = asked_at or (None, "")
    name = os.fspath(name)
    wanted = name.replace("-", "_")
    if name.endswith(_SUFFIXES):
        path = _home(name)
        if beside is not None and not path.is_absolute():
            path = beside / path if os.path.isdir(beside) else Path(os.path.normpath(beside / path))
        if os.path.isfile(path):  # unlike Path.is_file, it takes any name for an answer
            return path
        close = nearest(Path(wanted).stem, _files(), cutoff=0.8)
        hint = f"did you mean {close}?" if close else ""
        raise InputError(
            Finding("unknown-profile", f"there is no profile file {path}", position=position, hint=hint, line_text=line)
        )
    if found := _named(user_folder()).get(wanted):
        return found
    built_in = built_in_folder() / f"{wanted}.yaml"
    if os.path.isfile(built_in) and ".." not in wanted:
        return built_in
    files = _files()
    close = nearest(wanted, files)
    hint = f"did you mean {close}?" if close else f"known: {', '.join(sorted(files))}"
    raise InputError(
        Finding("unknown-profile", f"there is no profile {name!r}", position=position, hint=hint, line_text=line)
    )


def real(file: Path) -> Path:
    """The file that a path leads to through symbolic links; of links that lead nowhere, the last."""
    return Path(os.path.realpath(file))  # Path.resolve raises an error of its own for links in a circle
