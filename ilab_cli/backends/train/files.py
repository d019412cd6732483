"""Files and folders that appear whole or not at all: written under a temporary name, synced, then renamed."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Container, Iterator
from contextlib import contextmanager
from pathlib import Path

from ilab_profiles.yaml.files import sync

__all__ = ["link_or_copy", "remove_leftovers", "replace_file", "replace_folder", "temporary_name", "written"]

_PREFIX, _SUFFIX = ".writing-", ".tmp"


def temporary_name(path: Path) -> Path:
    """The hidden sibling under which ``path`` is written; the same for every process."""
    return path.with_name(f"{_PREFIX}{path.name}{_SUFFIX}")


def remove_leftovers(folder: Path) -> None:
    """Remove what writers left in ``folder`` that were killed."""
    for path in folder.glob(f"{_PREFIX}*{_SUFFIX}"):
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def link_or_copy(file: Path, target: Path) -> None:
    """Let a file appear under another name as well: no second copy where the disk has hard links."""
    try:
        os.link(file, target)
    except OSError:
        shutil.copy2(file, target)


@contextmanager
def replace_file(path: Path) -> Iterator[Path]:
    """Give a temporary name to write to; at the end of the block it becomes ``path``, replacing what was there.

    Each writer has a name of its own: launchers on several machines may prepare the same file in a shared folder.
    """
    temporary = temporary_name(path.with_name(f"{secrets.token_hex(4)}-{path.name}"))
    try:
        temporary.touch()
        mode = temporary.stat().st_mode
        yield temporary
        temporary.chmod(mode)  # libraries that write by way of another file leave it to its owner alone
        sync(temporary)
        temporary.replace(path)
        sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def replace_folder(temporary: Path, path: Path) -> None:
    """Let the folder ``temporary``, complete now, become ``path``; a folder that was there goes."""
    for file in [*temporary.rglob("*"), temporary]:
        sync(file)
    if path.exists():
        old = temporary_name(path.with_name(f"old-{path.name}"))
        path.rename(old)
        temporary.rename(path)
        shutil.rmtree(old)
    else:
        temporary.rename(path)
    sync(path.parent)


def written(folder: Path, without: Container[str] = ()) -> int:
    """Bytes of what is in a folder; files with several names count once.

    Args:
        folder: the folder, which need not be there.
        without: names in it that do not count.
    """
    found: dict[int, int] = {}
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.name not in without:
            found |= {(stat := file.lstat()).st_ino: stat.st_size for file in (path, *path.rglob("*"))}
    return sum(found.values())
