"""Memory and cores where a container or a scheduler limits them, in both versions of control groups."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from ilab_profiles.hardware import cores, memory

GIB = 2**30
V2 = "30 23 0:26 {top} /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = "33 31 0:30 {top} /sys/fs/cgroup/{tree} rw,relatime master:9 - cgroup cgroup rw,{tree}\n"


def system(root: Path, cgroup: str, mounts: str, **files: str) -> Path:
    """A root with these texts in ``/proc/self`` and files, ``__`` for ``/``, below ``/sys/fs/cgroup``."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(cgroup)
    (root / "proc/self/mountinfo").write_text("23 1 8:1 / / rw - ext4 /dev/sda1 rw\n" + mounts)
    for name, text in files.items():
        file = root / "sys/fs/cgroup" / name.replace("__", "/").replace("_dot_", ".")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}\n")
    return root


def test_without_limits_the_machine_counts(tmp_path: Path) -> None:
    assert memory.total(tmp_path) == psutil.virtual_memory().total
    assert 0 < memory.free(tmp_path) < memory.total(tmp_path)
    assert cores.cores(tmp_path) <= cores.installed()


@pytest.mark.parametrize(
    "version", ["a container of version 2", "version 1", "version 1, seen from the host", "namespace"]
)
def test_the_limit_of_a_container_is_its_memory(tmp_path: Path, version: str) -> None:
    half, stale = GIB // 2, f"anon 5\ninactive_file {GIB // 8}\ntotal_inactive_file {GIB // 8}"
    two = {"memory_dot_max": f"{GIB}", "memory_dot_current": f"{half}", "memory_dot_stat": stale}
    one = {"memory__memory_dot_limit_in_bytes": f"{GIB}", "memory__memory_dot_usage_in_bytes": f"{half}"}
    one |= {"memory__memory_dot_stat": stale}
    v1 = V1.format(top="/docker/a1", tree="memory")
    root = {
        "a container of version 2": lambda: system(tmp_path, "0::/\n", V2.format(top="/"), **two),
        "namespace": lambda: system(tmp_path, "0::/../../kubepods/a1\n", V2.format(top="/"), **two),
        "version 1": lambda: system(tmp_path, "4:memory:/docker/a1\n0::/\n", v1, **one),
        "version 1, seen from the host": lambda: system(tmp_path, "4:memory:/elsewhere/a1\n", v1, **one),
    }[version]()
    assert memory.total(root) == GIB
    assert memory.free(root) == GIB - half + GIB // 8


def test_the_tightest_of_the_groups_above_counts(tmp_path: Path) -> None:
    """As under systemd or SLURM: the step has no limit of its own, the job has, and the user a wider one."""
    root = system(
        tmp_path,
        "0::/slurm/uid_7/job_1/step_0\n",
        V2.format(top="/"),
        slurm__uid_7__job_1__step_0__memory_dot_max="max",
        slurm__uid_7__job_1__memory_dot_max=f"{2**28}",
        slurm__uid_7__job_1__memory_dot_current=f"{2**28 + 5}",
        slurm__uid_7__memory_dot_max=f"{2**29}",
        slurm__uid_7__memory_dot_current="0",
    )
    assert memory.total(root) == 2**28
    assert memory.free(root) == 0


def test_what_version_1_says_without_a_limit_is_none(tmp_path: Path) -> None:
    files = {"memory__memory_dot_limit_in_bytes": "9223372036854771712", "memory__memory_dot_usage_in_bytes": "5"}
    root = system(tmp_path, "4:memory:/\n", V1.format(top="/", tree="memory"), **files)
    assert memory.total(root) == psutil.virtual_memory().total


@pytest.mark.parametrize(
    ("quota", "expected"), [("150000 100000", 1), ("50000 100000", 1), ("200000 100000", 2), ("max 100000", None)]
)
def test_a_quota_limits_the_cores(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, quota: str, expected: int | None
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(6)), raising=False)
    root = system(
        tmp_path, "0::/pod/a1\n", V2.format(top="/"), pod__cpu_dot_max=quota, pod__a1__cpu_dot_max="max 100000"
    )
    assert cores.cores(root) == (expected or 6)


@pytest.mark.parametrize(("quota", "expected"), [("300000", 3), ("-1", 6)])
def test_a_quota_of_version_1(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, quota: str, expected: int) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(6)), raising=False)
    files = {"cpu__cpu_dot_cfs_quota_us": quota, "cpu__cpu_dot_cfs_period_us": "100000"}
    root = system(tmp_path, "7:cpu,cpuacct:/\n", V1.format(top="/", tree="cpu"), **files)
    assert cores.cores(root) == expected


def test_affinity_limits_the_cores(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {5}, raising=False)
    assert cores.cores(tmp_path) == 1
