"""Main memory: how much a process may have here, which a container or a scheduler may limit, and how much is free."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ilab_profiles.hardware.cgroup import groups, numbers
from ilab_profiles.hardware.texts import number

__all__ = ["free", "installed", "total"]

_NONE = 2**60
"""From here on a number is no limit: without one, version 1 of control groups says 2**63, rounded down to pages."""


def installed() -> int:
    """The memory of the machine in bytes, as the system counts it."""
    import psutil

    return int(psutil.virtual_memory().total)


def total(root: Path = Path("/")) -> int:
    """The memory in bytes that all processes here together may have: that of the machine, or less by a limit.

    Args:
        root: where the system tells of control groups.
    """
    return min([installed(), *(limit for limit, _ in _limits(root))])


def free(root: Path = Path("/")) -> int:
    """The memory in bytes that can be had here without driving out anything: by the machine, and by each limit.

    Args:
        root: where the system tells of control groups.
    """
    import psutil

    return max(0, min([int(psutil.virtual_memory().available), *(limit - held for limit, held in _limits(root))]))


def _limits(root: Path) -> Iterator[tuple[int, int]]:
    """The limit of each group that has one, and what is held of it.

    Of what a group holds, files that nobody read lately are not counted: they make room when somebody asks for it.
    """
    for group in groups("memory", root):
        for limit, held, stale in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ):
            most = number(group / limit)
            if most is not None and most < _NONE:
                yield most, (number(group / held) or 0) - numbers(group / "memory.stat").get(stale, 0)
