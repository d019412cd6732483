"""Whether the hardware that settings ask for is there: the same question for every engine that loads a model.

What is on this machine, :mod:`ilab_profiles.hardware` tells; what of it this build of torch can use is asked here.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from ilab_profiles import Finding

__all__ = [
    "device_findings",
    "free_memory",
    "memory_findings",
    "most_memory",
    "on_cpu",
    "usable_gpus",
    "visible",
]

_VISIBLE = "CUDA_VISIBLE_DEVICES"
_STATUS = Path("/proc/self/status")
_MOST = "VmHWM:"


def usable_gpus() -> int:
    """The number of GPUs that this build of torch can use here; loads torch."""
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def visible(gpus: Sequence[int]) -> dict[str, str]:
    """The variable that leaves a process these of the GPUs that this one sees; they are counted from 0, as torch does.

    Where the variable is set already, as schedulers do, it may name others than the first ones, and by identifiers.
    """
    seen = os.environ.get(_VISIBLE)
    names = [name.strip() for name in seen.split(",")] if seen is not None else []
    chosen = (str(gpu) if seen is None else names[gpu] for gpu in gpus if seen is None or gpu < len(names))
    return {_VISIBLE: ",".join(chosen)}


def on_cpu(device: str, gpus: tuple[int, ...] | None) -> bool:
    """Whether a choice of a device comes to the CPU: because it says so, or because there is no CUDA; loads torch."""
    return device == "cpu" or gpus == () or not usable_gpus()


def device_findings(section: str, device: str, gpus: tuple[int, ...] | None, processes: int = 1) -> Iterator[Finding]:
    """What is wrong with the choice of a device; loads torch.

    Args:
        section: dotted path of the section that chooses, for example ``train``.
        device: its ``device``.
        gpus: its ``gpus``.
        processes: how many it starts, of which each needs a GPU where it does not work on the CPU.
    """
    there = usable_gpus()
    if (device == "cuda" or gpus) and not there:
        yield Finding(
            "device",
            "no CUDA GPU available, or this build of torch cannot use it",
            f"{section}.gpus" if gpus else f"{section}.device",
            why=_what_is_here(),
            hint="or install torch for CUDA",
            fix=((f"{section}.device", "cpu"), (f"{section}.gpus", "-1")),
        )
    elif gpus and max(gpus) >= there:
        yield Finding("device", f"GPU {max(gpus)} is chosen; there are {there}, from 0", f"{section}.gpus")
    elif processes > (len(gpus or ()) or there) and not on_cpu(device, gpus):
        message = f"{processes} processes need as many GPUs; there are {len(gpus or ()) or there}"
        yield Finding("device", message, f"{section}.num_gpus")


def _what_is_here() -> str:
    """Which of the two it is: no GPU, or a torch that cannot use the one there is."""
    from ilab_profiles.hardware.machine import here

    machine = here()
    return f"here: {machine.gpus_in_words}" if machine.gpus else machine.no_gpus_because


def memory_findings(files: Iterable[Path], setting: str) -> Iterator[Finding]:
    """Refuse weights that are larger than the main memory of this machine, through which they all go.

    Args:
        files: the files of the weights.
        setting: dotted path of the setting that names the model.
    """
    from ilab_profiles.hardware.memory import total

    size, memory = sum(file.stat().st_size for file in files if file.is_file()), total()
    if size > memory:
        message = f"the weights take {size / 1e9:,.1f} GB, there are {memory / 1e9:,.1f} GB of main memory here"
        yield Finding("memory", message, setting, hint="use a smaller model, or a larger machine")


def most_memory() -> int:
    """The most main memory that this process held so far, in bytes.

    Linux tells it in kB (``proc_pid_status(5)``); what ``getrusage`` tells there is that of the process before ``exec``
    too, which may have held more. macOS has only that, in bytes.
    """
    with suppress(OSError):
        for line in _STATUS.read_text().splitlines():
            if line.startswith(_MOST):
                return int(line.split()[1]) * 1024
    import psutil

    now = int(psutil.Process().memory_info().rss)
    if sys.platform == "win32":
        return now
    import resource

    return max(now, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024))


def free_memory() -> None:
    """Let go of the memory of a model that nobody holds any more, on the GPU too if torch is at work."""
    gc.collect()
    if torch := sys.modules.get("torch"):
        torch.cuda.empty_cache()
