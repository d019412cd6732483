"""Which GPUs a process may use: what ``CUDA_VISIBLE_DEVICES`` says, read as CUDA and torch read it.

It holds numbers, or the beginnings of identifiers (``GPU-…``, ``MIG-…``), in the order in which they are counted. What
follows one that is not there does not count; one named twice means none at all. A GPU in MIG mode can only be used by
its slices; its number means the first of them. See "CUDA Environment Variables" in NVIDIA's programming guide.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ilab_profiles.hardware.gpu import Gpu

__all__ = ["VARIABLE", "Device", "visible"]

VARIABLE = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True, slots=True)
class Device:
    """A GPU that the driver tells of.

    Args:
        gpu: what is known of it.
        uuid: its identifier.
        slices: its slices in MIG mode, perhaps none; ``None`` where it is not in that mode.
    """

    gpu: Gpu
    uuid: str = ""
    slices: tuple[Device, ...] | None = None


def visible(
    devices: Sequence[Device], chosen: str | None, variable: str = VARIABLE, *, by_bus: bool = False
) -> tuple[tuple[Gpu, ...], tuple[str, ...]]:
    """The GPUs that count, in the order in which CUDA counts them, and what is to be known about that.

    Args:
        devices: all of them, in the order of the bus.
        chosen: what the variable says; ``None`` where it is not set.
        variable: its name; AMD's ROCm has variables of its own, which are read in the same way.
        by_bus: whether CUDA numbers them in that order; else it numbers the fastest first, which no driver tells.
    """
    usable = [part for device in devices for part in _parts(device)]
    if chosen is None:
        return tuple(device.gpu for device in usable), _without_slices(devices)
    picked: list[Device] = []
    notes = []
    entries = [entry.strip() for entry in chosen.split(",")]
    for entry in entries if chosen.strip() else ():
        device = _named(entry, devices)
        if device is None:
            notes.append(f"{variable} names {entry!r}, which is not here: what follows it does not count either")
            break
        if device in picked:
            return (), (f"{variable} names {entry} twice: then no GPU is found",)
        picked.append(device)
    if len({device.gpu.name for device in devices}) > 1 and not by_bus and re.search(r"(^|,)\s*\d", chosen):
        notes.append(
            f"the GPUs differ, and the numbers in {variable} are CUDA's, the fastest first; "
            "with CUDA_DEVICE_ORDER=PCI_BUS_ID they are those shown here"
        )
    return tuple(device.gpu for device in picked), tuple(notes)


def _parts(device: Device) -> tuple[Device, ...]:
    return (device,) if device.slices is None else device.slices


def _without_slices(devices: Sequence[Device]) -> tuple[str, ...]:
    empty = [str(device.gpu.index) for device in devices if device.slices == ()]
    return (f"GPU {', '.join(empty)}: in MIG mode, without a slice that could be used",) if empty else ()


def _named(entry: str, devices: Sequence[Device]) -> Device | None:
    """The device that an entry means, if there is exactly one."""
    if number := re.match(r"\+?(\d+)", entry):
        at = int(number[1])
        return next(iter(_parts(devices[at])), None) if at < len(devices) else None
    if not entry.startswith(("GPU-", "MIG-")):
        return None
    whole = [part for device in devices if device.uuid.startswith(entry) for part in _parts(device)[:1]]
    slices = [part for device in devices for part in device.slices or () if part.uuid.startswith(entry)]
    found = whole or slices
    return found[0] if len(found) == 1 else None
