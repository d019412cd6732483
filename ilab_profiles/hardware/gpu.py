"""What is known of one GPU, whoever tells it: its name, its memory, how much of it is free, and what holds the rest."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

__all__ = ["Found", "Gpu", "Kind", "Use", "slice_memory", "uses"]

Kind = Literal["nvidia", "amd", "apple"]


@dataclass(frozen=True, slots=True)
class Use:
    """A process that holds memory of a GPU.

    Args:
        pid: its number.
        name: the name of its program, never its command line, which may hold secrets; empty if it cannot be seen.
        memory: what it holds, in bytes; ``None`` where the driver does not say.
    """

    pid: int
    name: str
    memory: int | None


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU, or the slice of one.

    Args:
        name: as its driver writes it.
        memory: all of its memory in bytes, as its driver reports it; ``None`` where it does not. Of Apple's, which
            have none of their own: the share of main memory that Metal gives them.
        free: what nobody holds of that, in bytes; ``None`` where it is not said.
        kind: who made it.
        index: its number among those of its kind; a slice has that of its GPU.
        mig: of a MIG slice its profile, for example ``3g.20gb``, empty if that is not told; ``None`` for a whole GPU.
        uses: what holds memory of it, as far as it can be seen from here.
    """

    name: str
    memory: int | None
    free: int | None
    kind: Kind
    index: int
    mig: str | None = None
    uses: tuple[Use, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """What one source tells.

    Args:
        gpus: the GPUs that a process started here may use.
        because: why there are none, in words; empty where there are some, or where nothing of that kind is here.
        notes: what else is to be known, one sentence each.
    """

    gpus: tuple[Gpu, ...] = ()
    because: str = ""
    notes: tuple[str, ...] = ()


def uses(held: Iterable[tuple[int, int | None]]) -> tuple[Use, ...]:
    """The processes behind pairs of number and bytes; one that computes and draws is told twice, and counts once."""
    most: dict[int, int | None] = {}
    for pid, memory in held:
        most[pid] = max(most.get(pid) or 0, memory or 0) or None
    return tuple(Use(pid, _program(pid), memory) for pid, memory in sorted(most.items()))


def _program(pid: int) -> str:
    """The name of a program; its first word, as some programs write their command line in its place."""
    import psutil

    try:
        return next(iter(str(psutil.Process(pid).name()).split()), "")
    except (psutil.Error, OSError, ValueError):
        return ""


_SLICE = re.compile(r"\bMIG \S*?(\d+)GB")


def slice_memory(name: str) -> int | None:
    """The memory of a MIG slice in bytes, by its name such as ``MIG 3g.40gb``; ``None`` where that tells none.

    The number is what it is called; what it has is about 0.97 of that in GiB: from 0.95 (9.50 of ``1g.10gb``) to 0.99
    (39.50 of ``3g.40gb``) on A100 and H100, by ``nvidia-smi mig -lgip``.
    """
    told = _SLICE.search(name.upper())
    return round(0.97 * int(told[1]) * 2**30) if told else None
