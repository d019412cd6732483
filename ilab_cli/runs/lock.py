"""One run at a time in a run folder: a lock that its process holds, and that says who does."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ilab_cli.backends.lock import lock
from ilab_profiles.yaml.files import unwritable

__all__ = ["FILE", "held", "holder"]

FILE = ".lock"


def holder(folder: Path, machine: str = "") -> str:
    """Who runs in a folder now, in words; empty if nobody does. See :func:`held`."""
    try:
        with (folder / f"{FILE}{machine}").open("rb") as file:
            return "" if lock(file.fileno(), shared=True) else file.read().decode(errors="replace").strip()
    except OSError:
        return ""


@contextmanager
def held(folder: Path, machine: str = "", what: str = "ilab") -> Iterator[str]:
    """Hold a folder, which is made if need be, for the length of a block; gives who has it if another process does.

    Args:
        folder: the folder.
        machine: name of this machine where several do one run in a folder that they share: each holds it for itself.
        what: what holds it, as another process is told.

    Raises:
        InputError: if nothing can be written there.
    """
    path = folder / f"{FILE}{machine}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise unwritable(folder, error) from None
    with open(handle, "r+b") as file:
        if not lock(handle):
            yield file.read().decode(errors="replace").strip() or "another process"
            return
        file.truncate()
        file.write(f"process {os.getpid()} on {platform.node()}: {what}\n".encode())
        file.flush()
        yield ""
        file.seek(0)
        file.truncate()
