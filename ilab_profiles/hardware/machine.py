"""The machine that this process runs on, from all sources: :func:`here` reads it as it is now."""

from __future__ import annotations

import os
import platform
from collections import Counter
from dataclasses import dataclass

from ilab_profiles.hardware import amd, apple, cores, memory, nvidia
from ilab_profiles.hardware.gpu import Gpu, Use
from ilab_profiles.hardware.visible import VARIABLE

__all__ = ["Gpu", "Machine", "Use", "here"]


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine, as far as a process on it may use it.

    Args:
        gpus: its GPUs, all of one maker, in the order in which engines count them.
        no_gpus_because: why there are none, in words; empty where there are some.
        cores: processor cores that may be used.
        memory: main memory in bytes that may be used.
        free_memory: what of that is free.
        platform: system, release and processor.
        installed_cores: the cores of the whole machine; 0 where that is not asked.
        installed_memory: the main memory of the whole machine in bytes; 0 where that is not asked.
        visible: what ``CUDA_VISIBLE_DEVICES`` says; ``None`` where it is not set.
        notes: what else is to be known, one sentence each.
    """

    gpus: tuple[Gpu, ...]
    no_gpus_because: str
    cores: int
    memory: int
    free_memory: int
    platform: str
    installed_cores: int = 0
    installed_memory: int = 0
    visible: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def gpus_in_words(self) -> str:
        """Its GPUs, the same ones counted: ``4 x NVIDIA L4, 22.5 GiB``; several kinds with `` + `` between."""
        kinds = Counter((gpu.name, gpu.memory) for gpu in self.gpus)
        told = [
            f"{count} x {name}{f', {size / 2**30:.1f} GiB' if size else ''}" for (name, size), count in kinds.items()
        ]
        return " + ".join(told)


def here() -> Machine:
    """The machine as it is now; without torch, and whatever its drivers are like.

    Engines work with GPUs of one maker. So where NVIDIA's are found, which a process started now may use, others are
    not looked for: most of those drive a screen.
    """
    found = nvidia.read()
    reasons, notes = [found.because], [*found.notes]
    for read in (amd.read, apple.read):
        if found.gpus:
            break
        found = read()
        reasons.append(found.because)
        notes += found.notes
    because = "; ".join(filter(None, reasons)) or "no driver of an NVIDIA, AMD or Apple GPU is here"
    return Machine(
        gpus=found.gpus,
        no_gpus_because="" if found.gpus else because,
        cores=cores.cores(),
        memory=memory.total(),
        free_memory=memory.free(),
        platform=f"{platform.system()} {platform.release()}, {platform.machine()}",
        installed_cores=cores.installed(),
        installed_memory=memory.installed(),
        visible=os.environ.get(VARIABLE),
        notes=tuple(notes),
    )
