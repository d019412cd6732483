"""What a profile extends: from a name, a path or a document to the layers that make the profile.

Every document of the chain is read; which of its values wins is the business of :mod:`ilab_profiles.loading.merge`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ilab_profiles.catalog import BESIDE_PROFILE, find, real
from ilab_profiles.diagnostics import InputError
from ilab_profiles.loading.layers import Kind, Layer, read_document
from ilab_profiles.yaml.document import Document, KeyPath
from ilab_profiles.yaml.read import read

__all__ = ["chain", "extend", "named", "open_document"]


def chain(name: str) -> list[Layer]:
    """The layers of a profile, what it extends first.

    Raises:
        InputError: if a profile is not there or cannot be read, or if one extends itself.
    """
    return _follow(find(name), ())


def named(document: Document, at: KeyPath, name: str, above: tuple[Path, ...]) -> list[Layer]:
    """The layers of the profile that a document names, what it extends first.

    Args:
        document: where the name stands.
        at: path of keys under which it stands there; a relative path starts from the document's folder.
        name: name or path of the profile.
        above: files that lead here, to find circles.

    Raises:
        InputError: if a profile is not there or cannot be read, or if one leads to itself.
    """
    position = document.position(at)
    line = document.line(position.line)
    path = find(name, beside=Path(document.source).parent, asked_at=(position, line))
    if real(path) in above:
        circle = " -> ".join(file.stem for file in (*above, real(path)))
        message = f"the profiles extend each other: {circle}"
        hint = "name another profile here, or give this one another name"
        raise InputError(document.finding("extends-circle", message, at, hint, path=str(at[-1])))
    return _follow(path, above)


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
    try:
        if isinstance(base, str):
            return [*named(document, (*at, "extends"), base, above), own]
        message = "must be the name of one profile"
        raise InputError(document.finding("bad-extends", message, (*at, "extends"), path="extends"))
    except InputError as error:
        raise InputError([*error.findings, *own.findings]) from None


def open_document(path: Path) -> Document:
    """Read a profile file; findings name it as a person would type it here."""
    return read(path, _shown(path))


def _follow(path: Path, above: tuple[Path, ...]) -> list[Layer]:
    document = open_document(path)
    above = (*above, real(path))
    if "profile" not in document.data:
        return extend(document, above=above)
    strangers = [key for key in document.data if key not in BESIDE_PROFILE]
    if strangers:
        message = f"{strangers[0]!r} cannot stand beside `profile`"
        raise InputError(document.finding("unknown-key", message, (strangers[0],), key=True))
    match document.data["profile"]:
        case str(name):
            return named(document, ("profile",), name, above)
        case Mapping():
            return extend(document, ("profile",), above=above)
    raise InputError(document.finding("bad-value", "must be a name, a path, or the settings themselves", ("profile",)))


def _at(data: Any, at: KeyPath) -> Mapping[str, Any]:
    for key in at:
        data = data[key]
    return data if isinstance(data, Mapping) else {}


def _shown(path: Path) -> str:
    """The path as a person would type it here: relative where the file lies below the working folder."""
    full, here = os.path.abspath(path), os.getcwd() + os.sep
    return full.removeprefix(here) if full.startswith(here) else str(path)
