"""Where profiles come from: built in, the user's own folder, or a file; and what they extend.

Nothing is validated here: the catalogue turns a name or a path into the chain of documents that make the profile.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ilab_profiles.diagnostics import Finding, InputError, Position, nearest
from ilab_profiles.document import Document, KeyPath, read
from ilab_profiles.layers import Kind, Layer, read_document

__all__ = [
    "BESIDE_PROFILE",
    "DEFAULT",
    "built_in_files",
    "built_in_folder",
    "chain",
    "extend",
    "find",
    "names",
    "open_document",
    "user_folder",
]

DEFAULT = "cpu_only"
BESIDE_PROFILE = ("profile", "chat", "general", "serve")
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
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        base = Path(os.environ.get("APPDATA", "~/AppData/Roaming"))
    elif sys.platform == "darwin":
        base = Path("~/Library/Application Support")
    else:
        base = Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config")
    return base.expanduser() / "ilab" / "profiles"


def _files() -> dict[str, Path]:
    """Every profile that has a name; the user's own come before built-in ones of the same name."""
    return {**_named(built_in_folder()), **_named(user_folder())}


def _named(folder: Path) -> dict[str, Path]:
    paths = sorted(folder.rglob("*")) if folder.is_dir() else []
    return {
        path.relative_to(folder).with_suffix("").as_posix().replace("-", "_"): path
        for path in paths
        if path.suffix in _SUFFIXES
    }


def built_in_files() -> dict[str, Path]:
    """The profiles that ship with the library, by name."""
    return _named(built_in_folder())


def names() -> list[str]:
    """The names that can be loaded, the sub-profiles right after their profile."""
    return sorted(_files())


def find(name: str, *, beside: Path | None = None, asked_at: tuple[Position, str] | None = None) -> Path:
    """The file of a profile.

    Args:
        name: a name of the catalogue (``-`` or ``_``), or a path if it ends in .yaml, .yml or .json.
        beside: folder that a relative path starts from; the working folder if not given.
        asked_at: where the name stands, and that line, for the finding.

    Raises:
        InputError: if there is none; the nearest name is the hint.
    """
    position, line = asked_at or (None, "")
    if name.endswith(_SUFFIXES):
        path = Path(name).expanduser()
        path = path if path.is_absolute() or beside is None else beside / path
        if os.path.isfile(path):  # unlike Path.is_file, it takes any name for an answer
            return path
        raise InputError(
            Finding("unknown-profile", f"there is no profile file {name}", position=position, line_text=line)
        )
    wanted = name.replace("-", "_")
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


def chain(name: str) -> list[Layer]:
    """The layers of a profile, what it extends first.

    Raises:
        InputError: if a profile is not there or cannot be read, or if one extends itself.
    """
    return _follow(find(name), ())


def extend(document: Document, at: KeyPath = (), kind: Kind = "profile", above: tuple[Path, ...] = ()) -> list[Layer]:
    """The layers of a profile that stands in a document, what it extends first.

    Args:
        document: where it stands.
        at: path of keys under which it stands there.
        kind: what the document is.
        above: files that lead here by ``extends``, to find circles.
    """
    own = read_document(document, kind, document.source, at)
    base = _at(document.data, at).get("extends")
    if base is None:
        return [own]
    position = document.position((*at, "extends"))
    line = document.line(position.line)
    if not isinstance(base, str):
        raise InputError(
            Finding("bad-extends", "extends takes the name of one profile", "extends", position, line_text=line)
        )
    path = find(base, beside=Path(document.source).parent, asked_at=(position, line))
    if path.resolve() in above:
        circle = " -> ".join(file.stem for file in (*above, path.resolve()))
        raise InputError(
            Finding("extends-circle", f"the profiles extend each other: {circle}", "extends", position, line_text=line)
        )
    return [*_follow(path, above), own]


def open_document(path: Path) -> Document:
    """Read a profile file; findings name it as a person would type it here."""
    return read(path, _shown(path))


def _follow(path: Path, above: tuple[Path, ...]) -> list[Layer]:
    document = open_document(path)
    above = (*above, path.resolve())
    if "profile" not in document.data:
        return extend(document, above=above)
    position = document.position(("profile",))
    line = document.line(position.line)
    strangers = [key for key in document.data if key not in BESIDE_PROFILE]
    if strangers:
        place = document.position((strangers[0],), key=True)
        message = f"{strangers[0]!r} cannot stand beside `profile`"
        raise InputError(Finding("unknown-key", message, strangers[0], place, line_text=document.line(place.line)))
    match document.data["profile"]:
        case str(name):
            return _follow(find(name, beside=path.parent, asked_at=(position, line)), above)
        case Mapping():
            return extend(document, ("profile",), above=above)
    message = "profile is a name, a path, or the settings themselves"
    raise InputError(Finding("bad-value", message, "profile", position, line_text=line))


def _at(data: Any, at: KeyPath) -> Mapping[str, Any]:
    for key in at:
        data = data[key]
    return data if isinstance(data, Mapping) else {}


def _shown(path: Path) -> str:
    """The path as a person would type it here: relative where the file lies below the working folder."""
    full, here = os.path.abspath(path), os.getcwd() + os.sep
    return full.removeprefix(here) if full.startswith(here) else str(path)
