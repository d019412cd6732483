"""A driver of NVIDIA, as its library shows it: the functions of ``pynvml`` that are asked, with answers of our own."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

__all__ = ["A100", "Nvml", "card"]

GIB = 2**30


class NVMLError_NotSupported(Exception):
    pass


def card(name: Any, mib: int | None, free: int = 0, **more: Any) -> dict[str, Any]:
    """A GPU: its memory in MiB, and ``uuid``, ``compute``, ``graphics`` (pid and MiB), ``slices``, ``attributes``."""
    return {"name": name, "mib": mib, "free": free, **more}


class Nvml:
    """The library. What a card has no answer for it refuses, as the real one does."""

    def __init__(self, *cards: dict[str, Any]) -> None:
        self.cards = cards

    def nvmlInit(self) -> None: ...
    def nvmlShutdown(self) -> None: ...

    def nvmlDeviceGetCount(self) -> int:
        return len(self.cards)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Any:
        if self.cards[index].get("lost"):
            raise NVMLError_NotSupported("GPU is lost")
        return self.cards[index]

    def nvmlDeviceGetName(self, handle: Any) -> Any:
        return handle["name"]

    def nvmlDeviceGetUUID(self, handle: Any) -> Any:
        return _of(handle, "uuid")

    def nvmlDeviceGetMemoryInfo(self, handle: Any) -> Any:
        mib = _of(handle, "mib")
        return SimpleNamespace(total=mib * 2**20, free=handle["free"] * 2**20, used=(mib - handle["free"]) * 2**20)

    def nvmlDeviceGetMigMode(self, handle: Any) -> list[int]:
        _of(handle, "slices")
        return [1, 1]

    def nvmlDeviceGetMaxMigDeviceCount(self, handle: Any) -> int:
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, handle: Any, index: int) -> Any:
        return _of(handle["slices"], index)

    def nvmlDeviceGetAttributes(self, handle: Any) -> Any:
        return _of(handle, "attributes")

    def nvmlDeviceGetComputeRunningProcesses(self, handle: Any) -> Any:
        return [_process(*pair) for pair in _of(handle, "compute")]

    def nvmlDeviceGetGraphicsRunningProcesses(self, handle: Any) -> Any:
        return [_process(*pair) for pair in _of(handle, "graphics")]


def _of(held: Any, key: Any) -> Any:
    if held.get(key) is None:
        raise NVMLError_NotSupported("Not Supported")
    return held[key]


def _process(pid: int, mib: int | None) -> Any:
    return SimpleNamespace(pid=pid, usedGpuMemory=None if mib is None else mib * 2**20)


A100 = "NVIDIA A100-SXM4-40GB"
