"""Locks on open files, which the system takes back whatever ends the process."""

from __future__ import annotations

import errno

__all__ = ["lock"]

_TAKEN = (errno.EWOULDBLOCK, errno.EACCES)


def lock(handle: int, *, shared: bool = False) -> bool:
    """Lock an open file until it is closed; false if another process has it. Where there are no locks, all is free."""
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in _TAKEN
    return True
