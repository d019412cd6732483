"""Processor cores: how many this process may use, by its affinity and by the quota of its control groups."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ilab_profiles.hardware.cgroup import groups
from ilab_profiles.hardware.texts import number, text

__all__ = ["cores", "installed"]


def installed() -> int:
    """The cores of the machine, as the system counts them."""
    return os.cpu_count() or 1


def cores(root: Path = Path("/")) -> int:
    """Cores that this process may use: whole ones, at least one.

    Args:
        root: where the system tells of control groups.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else installed()
    return max(1, min([allowed, *_quotas(root)]))


def _quotas(root: Path) -> Iterator[int]:
    """The cores of each group that has a quota: microseconds in each period, in ``cpu.max`` or two files."""
    for group in groups("cpu", root):
        quota, period = [*text(group / "cpu.max").split(), "", ""][:2]
        if quota.isdecimal() and period.isdecimal():
            yield int(quota) // int(period)
        elif (time := number(group / "cpu.cfs_quota_us")) and (each := number(group / "cpu.cfs_period_us")):
            yield time // each
