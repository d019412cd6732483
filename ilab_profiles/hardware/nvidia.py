"""NVIDIA's GPUs, as NVML tells, the library of their driver; where it cannot be asked, as ``nvidia-smi`` tells.

NVML counts memory in bytes. Its ``total`` is what ``nvidia-smi`` shows, with the part that the driver keeps for itself;
its ``free`` is what is left after that and after all processes. Any question may be refused, by an older driver, by a
container or for want of permission: then that answer is missing, and the others stand.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ilab_profiles.hardware import nvidia_smi
from ilab_profiles.hardware.gpu import Found, Gpu, slice_memory, uses
from ilab_profiles.hardware.texts import text
from ilab_profiles.hardware.visible import VARIABLE, Device, visible

__all__ = ["devices", "read"]

_MAKER, _DISPLAY = "0x10de", "0x03"


def read(environment: Mapping[str, str] = os.environ, system: Path = Path("/sys")) -> Found:
    """The GPUs of NVIDIA that a process started with this environment may use.

    Args:
        environment: where ``CUDA_VISIBLE_DEVICES`` and ``CUDA_DEVICE_ORDER`` may stand.
        system: where the system tells of its buses.
    """
    there, reasons = _by_nvml()
    if there is None:
        told = nvidia_smi.read()
        there, reasons = (told, ()) if isinstance(told, list) else (None, (*reasons, *filter(None, [told])))
    if there is None:
        if not reasons and _on_bus(system):
            reasons = ("an NVIDIA GPU is here, but no driver that tells of it",)
        return Found(because="; ".join(reasons))
    if not there:
        return Found(because="the NVIDIA driver finds no GPU that answers")
    chosen = environment.get(VARIABLE)
    by_bus = environment.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID"
    gpus, notes = visible(there, chosen, by_bus=by_bus)
    if gpus:
        return Found(gpus, notes=notes)
    hidden = "" if chosen is None else f"{VARIABLE}={chosen} chooses none of {len(there)}"
    return Found(because="; ".join(filter(None, [hidden, *notes])))


def _by_nvml() -> tuple[list[Device] | None, tuple[str, ...]]:
    """The devices; else ``None``, and what NVML said if there is a driver at all."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception as error:  # whatever a driver does to its library, there is another way to ask
        absent = isinstance(error, ImportError) or type(error).__name__ == "NVMLError_LibraryNotFound"
        return None, () if absent else (f"NVML, the NVIDIA driver's library: {error}",)
    try:
        return devices(pynvml), ()
    except Exception as error:
        return None, (f"NVML, the NVIDIA driver's library: {error}",)
    finally:
        _answer(pynvml.nvmlShutdown)


def devices(nvml: Any) -> list[Device]:
    """The GPUs that NVML tells of, in the order of the bus, each with its slices in MIG mode.

    One that does not answer is left out, as CUDA leaves it out: it fell off the bus, or it is another job's.

    Args:
        nvml: the module ``pynvml`` after ``nvmlInit``, or an object with the same functions.

    Raises:
        Exception: one of NVML's, if not even the number of GPUs can be told.
    """
    handles = [_answer(nvml.nvmlDeviceGetHandleByIndex, index) for index in range(nvml.nvmlDeviceGetCount())]
    answering = [handle for handle in handles if handle is not None]
    return [_device(nvml, handle, index) for index, handle in enumerate(answering)]


def _device(nvml: Any, handle: Any, index: int) -> Device:
    mode = _answer(nvml.nvmlDeviceGetMigMode, handle)
    gpu = _gpu(nvml, handle, index)
    slices = tuple(_slices(nvml, handle, gpu)) if mode and mode[0] == 1 else None
    return Device(gpu, _text(_answer(nvml.nvmlDeviceGetUUID, handle)), slices)


def _gpu(nvml: Any, handle: Any, index: int) -> Gpu:
    name = _text(_answer(nvml.nvmlDeviceGetName, handle)) or "NVIDIA GPU"
    memory = _answer(nvml.nvmlDeviceGetMemoryInfo, handle)
    total, free = (int(memory.total), int(memory.free)) if memory and memory.total else (None, None)
    return Gpu(name, total, free, "nvidia", index, uses=uses(_held(nvml, handle)))


def _slices(nvml: Any, handle: Any, whole: Gpu) -> Iterator[Device]:
    for number in range(_answer(nvml.nvmlDeviceGetMaxMigDeviceCount, handle) or 0):
        part = _answer(nvml.nvmlDeviceGetMigDeviceHandleByIndex, handle, number)
        if part is None:
            continue  # so many there may be; this one was not made
        gpu = _gpu(nvml, part, whole.index)
        name = gpu.name if " MIG " in gpu.name else f"{whole.name} MIG {_profile(nvml, part)}".rstrip()
        memory = gpu.memory or slice_memory(name)
        sliced = Gpu(name, memory, gpu.free, "nvidia", whole.index, name.partition(" MIG ")[2], gpu.uses)
        yield Device(sliced, _text(_answer(nvml.nvmlDeviceGetUUID, part)))


def _profile(nvml: Any, part: Any) -> str:
    """The profile of a slice, such as ``3g.20gb``, where its name does not hold it."""
    told = _answer(nvml.nvmlDeviceGetAttributes, part)
    return f"{told.gpuInstanceSliceCount}g.{round(told.memorySizeMB / 1024)}gb" if told else ""


def _held(nvml: Any, handle: Any) -> Iterator[tuple[int, int | None]]:
    for ask in (nvml.nvmlDeviceGetComputeRunningProcesses, nvml.nvmlDeviceGetGraphicsRunningProcesses):
        for process in _answer(ask, handle) or ():
            yield int(process.pid), process.usedGpuMemory


def _answer(ask: Callable[..., Any], *about: Any) -> Any:
    """The answer to a question; ``None`` where it is refused, or where the library does not know it."""
    try:
        return ask(*about)
    except Exception:
        return None


def _text(name: Any) -> str:
    """A name, which older bindings give as bytes."""
    return name.decode(errors="replace") if isinstance(name, bytes) else str(name or "")


def _on_bus(system: Path) -> bool:
    """Whether a graphics device of NVIDIA is on the bus, whoever may drive it."""
    return any(
        text(device / "vendor") == _MAKER and text(device / "class").startswith(_DISPLAY)
        for device in (system / "bus/pci/devices").glob("*")
    )
