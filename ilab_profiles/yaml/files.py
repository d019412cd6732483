"""Files that are replaced whole or not at all, by one writer at a time.

What stands in a file is no concern of this module: it moves bytes, and refuses with a finding where it cannot. A
reader, a second writer and a killed process all find either the old file or the new one.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from ilab_profiles.diagnostics import Finding, InputError, Position

__all__ = ["COLLISIONS", "exclusive", "make_folder", "read_bytes", "replace", "sync", "unwritable", "write_atomically"]

COLLISIONS = frozenset({"file-exists", "file-changed"})
"""The rules of findings that say that another process wrote the same file meanwhile."""


@contextmanager
def exclusive(file: Path) -> Iterator[None]:
    """Make other processes and threads that ask for a file of the same folder wait until the block ends.

    The lock is the system's own (``flock`` on the folder): it leaves no file behind and ends with its process. Where
    there is none, as on Windows, nobody waits, and :func:`replace` still refuses to undo what another one wrote.
    """
    with ExitStack() as held:
        with suppress(ImportError, OSError):
            import fcntl

            handle = os.open(Path(os.path.realpath(file)).parent, os.O_RDONLY)
            held.callback(os.close, handle)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def read_bytes(file: Path) -> bytes:
    """The content of a regular file.

    Raises:
        InputError: if it cannot be read, or is a folder, a device or the like.
    """
    try:
        if stat.S_ISREG(file.stat().st_mode):
            return file.read_bytes()
        reason = "it is not a regular file"
    except OSError as error:
        reason = error.strerror or str(error)
    raise InputError(Finding("unreadable-file", f"cannot be read: {reason}", position=Position(str(file))))


def replace(file: Path, content: bytes, *, expected: bytes | None) -> None:
    """Put new content in the place of the old, atomically; mode, owner and symbolic links stay as they are.

    Args:
        file: the file, or a symbolic link to it.
        content: all of the new content.
        expected: what the file holds now; ``None`` if it is not there yet.

    Raises:
        InputError: if the file holds something else by now, or cannot be written; it is untouched then.
    """
    target = Path(os.path.realpath(file))
    temporary = target.with_name(f".{os.urandom(8).hex()}.tmp")
    try:
        try:
            _write(temporary, content, target.stat() if expected is not None else None)
            if expected is not None and not os.access(target, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            if _differs(target, expected):
                raise InputError(_collision(file, expected))
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise unwritable(file, error) from None
    with suppress(OSError):
        sync(target.parent)


def write_atomically(path: Path, text: str) -> None:
    """Write a file so that at any moment it holds all of the old or all of the new text.

    Raises:
        InputError: if it cannot be written.
    """
    replace(path, text.encode(), expected=read_bytes(path) if os.path.exists(path) else None)


def make_folder(file: Path) -> None:
    """Make the folder that a file will lie in.

    Raises:
        InputError: if that is not possible.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(file, error) from None


def unwritable(file: Path, error: OSError) -> InputError:
    """The refusal of a file that cannot be written."""
    message = f"cannot be written: {error.strerror or error}"
    return InputError(Finding("unwritable-file", message, position=Position(str(file))))


def _write(temporary: Path, content: bytes, like: os.stat_result | None) -> None:
    """Write a new file to the disk, readable for no more people than the one that it will replace."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(temporary, flags, 0o666 if like is None else 0o600), "wb") as stream:
        stream.write(content)
        if like is not None:
            with suppress(OSError, AttributeError):
                os.chown(temporary, like.st_uid, like.st_gid)
            os.chmod(temporary, stat.S_IMODE(like.st_mode))
        stream.flush()
        os.fsync(stream.fileno())


def _differs(target: Path, expected: bytes | None) -> bool:
    if expected is None:
        return os.path.lexists(target)
    return target.read_bytes() != expected


def _collision(file: Path, expected: bytes | None) -> Finding:
    if expected is None:
        return Finding("file-exists", "already exists and is not overwritten", position=Position(str(file)))
    message = "the file changed meanwhile and is not overwritten"
    return Finding("file-changed", message, position=Position(str(file)), hint="look at it, and try again")


def sync(path: Path) -> None:
    """Bring a file, or the names in a folder, to the disk.

    Raises:
        OSError: if the system cannot.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
