"""Apple's GPUs, which share main memory with the processor, as ``sysctl`` tells.

Metal lets a process have part of that memory for the GPU. Where ``iogpu.wired_limit_mb`` sets that part it is known;
else it is what Metal has been seen to recommend at least (``recommendedMaxWorkingSetSize``, in logs of llama.cpp): two
thirds below 36 GiB, three quarters from there on.
"""

from __future__ import annotations

import platform
from collections.abc import Callable

from ilab_profiles.hardware import memory
from ilab_profiles.hardware.gpu import Found, Gpu

__all__ = ["read"]

_LARGE = 36 * 2**30
_NOTE = "an Apple GPU shares main memory; Metal may use about {:.1f} of {:.1f} GiB. Nothing is trained on it here"


def read(ask: Callable[[str], str] | None = None, free: Callable[[], int] = memory.free) -> Found:
    """The GPU of Apple that is here; nothing on other machines.

    Args:
        ask: gives what the system says under a name, empty if nothing; ``sysctl`` if not given.
        free: gives the free main memory in bytes.
    """
    if ask is None:
        if platform.system() != "Darwin":
            return Found()
        ask = _sysctl
    name, size = ask("machdep.cpu.brand_string"), ask("hw.memsize")
    if not name.startswith("Apple") or not size.isdecimal():
        return Found()
    whole, limit = int(size), ask("iogpu.wired_limit_mb")
    share = int(limit) * 2**20 if limit.isdecimal() and int(limit) else _recommended(whole)
    gpu = Gpu(name, share, min(share, free()), "apple", 0)
    return Found((gpu,), notes=(_NOTE.format(share / 2**30, whole / 2**30),))


def _recommended(whole: int) -> int:
    return whole * 2 // 3 if whole < _LARGE else whole * 3 // 4


def _sysctl(name: str) -> str:
    import subprocess

    try:
        done = subprocess.run(["sysctl", "-n", name], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
