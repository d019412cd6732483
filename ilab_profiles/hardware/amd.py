"""AMD's GPUs, as AMD's library ``amdsmi`` tells where it is installed, else as the kernel's driver tells in ``/sys``.

What stands in ``/sys/class/drm/card*/device`` and, of processes, in ``/sys/class/kfd`` is described in the kernel's
``Documentation/gpu/amdgpu``; all of it is in bytes. ``amdsmi`` tells of memory in MiB, of that of processes in bytes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from ilab_profiles.hardware.gpu import Found, Gpu, uses
from ilab_profiles.hardware.gpu_models import AMD_DEVICES
from ilab_profiles.hardware.texts import number, text
from ilab_profiles.hardware.visible import VARIABLE, Device, visible

__all__ = ["by_library", "by_system", "read"]

_MAKER = "0x1002"


def read(environment: Mapping[str, str] = os.environ, system: Path = Path("/sys")) -> Found:
    """The GPUs of AMD that a process started with this environment may use; nothing where the driver is not loaded.

    Args:
        environment: where ``ROCR_VISIBLE_DEVICES``, and ``HIP_VISIBLE_DEVICES`` or ``CUDA_VISIBLE_DEVICES`` may stand.
        system: where the system tells of its devices.
    """
    there = list(by_system(system))
    if not there:
        return Found()
    try:
        told = by_library(import_module("amdsmi"))
    except Exception:  # not installed, of another version, or without its driver: the system has told already
        told = []
    if len(told) == len(there):
        there = [Device(better.gpu, device.uuid) for better, device in zip(told, there, strict=True)]
    notes: list[str] = []
    hip = "HIP_VISIBLE_DEVICES" if "HIP_VISIBLE_DEVICES" in environment else VARIABLE
    for variable in ("ROCR_VISIBLE_DEVICES", hip):
        if (chosen := environment.get(variable)) is not None:
            gpus, said = visible(there, chosen, variable, by_bus=True)
            notes += said
            if not gpus:
                return Found(because="; ".join([f"{variable}={chosen} chooses none of {len(there)} AMD GPUs", *said]))
            there = [device for gpu in gpus for device in there if device.gpu is gpu]
    return Found(tuple(device.gpu for device in there), notes=tuple(notes))


# --- /sys -------------------------------------------------------------------------------------------------------------


def by_system(system: Path) -> Iterator[Device]:
    """The GPUs that the kernel's driver tells of.

    Args:
        system: the root of ``/sys``.
    """
    cards = [card for card in (system / "class/drm").glob("card*") if re.fullmatch(r"card\d+", card.name)]
    folders = [card / "device" for card in sorted(cards, key=lambda card: int(card.name.removeprefix("card")))]
    ours = [folder for folder in folders if text(folder / "vendor") == _MAKER]
    sized = [(folder, total) for folder in ours if (total := number(folder / "mem_info_vram_total"))]
    for index, (folder, total) in enumerate(sized):
        yield _device(system, folder, total, index)


def _device(system: Path, device: Path, total: int, index: int) -> Device:
    model = text(device / "device")
    name = text(device / "product_name") or AMD_DEVICES.get(model) or f"AMD GPU {model}".rstrip()
    used = number(device / "mem_info_vram_used")
    free = None if used is None else total - used
    gpu = Gpu(name, total, free, "amd", index, uses=uses(_held(system, device)))
    return Device(gpu, f"GPU-{text(device / 'unique_id').removeprefix('0x')}")


def _held(system: Path, device: Path) -> Iterator[tuple[int, int | None]]:
    """The processes that compute on a GPU, and what they hold of its memory."""
    kfd = system / "class/kfd/kfd"
    minors = {node.name.removeprefix("renderD") for node in (device / "drm").glob("renderD*")}
    for node in (kfd / "topology/nodes").glob("*"):
        told = dict(line.split(" ", 1) for line in text(node / "properties").splitlines() if " " in line)
        if told.get("drm_render_minor", "").strip() in minors:
            for held in (kfd / "proc").glob(f"*/vram_{text(node / 'gpu_id')}"):
                if held.parent.name.isdecimal():
                    yield int(held.parent.name), number(held)


# --- amdsmi -----------------------------------------------------------------------------------------------------------


def by_library(smi: Any) -> list[Device]:
    """The GPUs that AMD's library tells of.

    Args:
        smi: the module ``amdsmi``, or an object with the same functions.

    Raises:
        Exception: one of the library's, where it cannot tell.
    """
    smi.amdsmi_init()
    try:
        return [_told(smi, handle, index) for index, handle in enumerate(smi.amdsmi_get_processor_handles())]
    finally:
        smi.amdsmi_shut_down()


def _told(smi: Any, handle: Any, index: int) -> Device:
    memory = smi.amdsmi_get_gpu_vram_usage(handle)
    total, used = (int(memory[key]) * 2**20 for key in ("vram_total", "vram_used"))
    name = str(smi.amdsmi_get_gpu_asic_info(handle)["market_name"])
    held = [
        (int(process["pid"]), (process.get("memory_usage") or {}).get("vram_mem"))
        for process in smi.amdsmi_get_gpu_process_list(handle)
        if isinstance(process, dict)
    ]
    return Device(Gpu(name, total, total - used, "amd", index, uses=uses(held)), "")
