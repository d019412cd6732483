"""What a profile extends: from a name, a path or a document to the layers that make the profile.

Every document of the chain is read; which of its values wins is the business of :mod:`ilab_profiles.merge`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ilab_profiles.catalog import find
from ilab_profiles.diagnostics import Finding, InputError
from ilab_profiles.document import Document, KeyPath, read
from ilab_profiles.layers import Kind, Layer, read_document

__all__ = ["BESIDE_PROFILE", "chain", "extend", "open_document"]

BESIDE_PROFILE = ("profile", "chat", "general", "serve")
"""Sections of ``config.yaml``; what else stands in a file makes it a profile."""


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
