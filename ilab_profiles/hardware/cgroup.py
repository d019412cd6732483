"""The control groups of Linux that this process is in: containers and schedulers set their limits there.

A limit of a group holds for all groups in it, so all of them are looked at, up to the root that can be seen from here.
Version 1 has a tree for each kind of limit, version 2 one for all; a system may have both. See
``Documentation/admin-guide/cgroup-v2.rst`` and ``cgroup-v1/`` of the kernel.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ilab_profiles.hardware.texts import text

__all__ = ["groups", "numbers"]


def groups(controller: str, root: Path = Path("/")) -> Iterator[Path]:
    """The folders of the groups that limit this process, the innermost of each tree first.

    Args:
        controller: what is limited: ``memory`` or ``cpu``.
        root: where ``/proc`` and the mounted trees begin.
    """
    ours = dict(_ours(controller, root))
    for is_v2, top, mounted in _trees(controller, root):
        if (path := ours.get(is_v2)) is None:
            continue
        below = path[len(top.rstrip("/")) :] if f"{path}/".startswith(f"{top.rstrip('/')}/") else ""
        folder = mounted / below.lstrip("/")
        if ".." in below.split("/") or not folder.is_dir():  # it is told as another namespace sees it
            folder = mounted
        yield folder
        while folder != mounted:
            folder = folder.parent
            yield folder


def _ours(controller: str, root: Path) -> Iterator[tuple[bool, str]]:
    """Our group in the trees of version 2 (``True``) and 1: lines such as ``0::/a/b`` and ``4:memory:/a/b``."""
    for line in text(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers or controller in controllers.split(","):
            yield not controllers, path


def _trees(controller: str, root: Path) -> Iterator[tuple[bool, str, Path]]:
    """The mounted trees: whether it is version 2, which group is its top, and the folder."""
    for line in text(root / "proc/self/mountinfo").splitlines():
        where, _, what = line.partition(" - ")
        kind, *_, options = what.split(" ") if what else ("", "")
        if kind == "cgroup2" or (kind == "cgroup" and controller in options.split(",")):
            top, mounted = where.split(" ")[3:5]
            yield kind == "cgroup2", top, root / mounted.lstrip("/")


def numbers(file: Path) -> dict[str, int]:
    """The numbers in a file with a name and a number in each line."""
    pairs = (line.split() for line in text(file).splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdecimal()}
