"""Whether the hardware that settings ask for is there: the same question for every engine that loads a model."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from ilab_profiles import Finding

__all__ = ["cores", "device_findings", "free_memory", "memory_findings", "on_cpu"]


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def on_cpu(device: str, gpus: tuple[int, ...] | None) -> bool:
    """Whether a choice of a device comes to the CPU: because it says so, or because there is no CUDA; loads torch."""
    import torch

    return device == "cpu" or gpus == () or not torch.cuda.is_available()


def device_findings(section: str, device: str, gpus: tuple[int, ...] | None) -> Iterator[Finding]:
    """What is wrong with the choice of a device; loads torch.

    Args:
        section: dotted path of the section that chooses, for example ``train``.
        device: its ``device``.
        gpus: its ``gpus``.
    """
    import torch

    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if (device == "cuda" or gpus) and not there:
        yield Finding(
            "device",
            "no CUDA GPU available, or this build of torch cannot use it",
            f"{section}.gpus" if gpus else f"{section}.device",
            hint="or install torch for CUDA",
            fix=((f"{section}.device", "cpu"), (f"{section}.gpus", "-1")),
        )
    elif gpus and max(gpus) >= there:
        yield Finding("device", f"GPU {max(gpus)} is chosen; there are {there}, from 0", f"{section}.gpus")


def memory_findings(files: Iterable[Path], setting: str) -> Iterator[Finding]:
    """Refuse weights that are larger than the main memory of this machine, through which they all go.

    Args:
        files: the files of the weights.
        setting: dotted path of the setting that names the model.
    """
    size = sum(file.stat().st_size for file in files if file.is_file())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else size
    if size > memory:
        message = f"the weights take {size / 1e9:,.1f} GB, this machine has {memory / 1e9:,.1f} GB of main memory"
        yield Finding("memory", message, setting, hint="use a smaller model, or a larger machine")


def free_memory() -> None:
    """Let go of the memory of a model that nobody holds any more, on the GPU too if torch is at work."""
    gc.collect()
    if torch := sys.modules.get("torch"):
        torch.cuda.empty_cache()
