"""On what a training runs, and how much memory is there: on a machine, on what a profile names, or on a named GPU."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TypeAlias

from ilab_profiles.diagnostics import InputError
from ilab_profiles.hardware.gpu_models import MODELS, named
from ilab_profiles.hardware.machine import Machine, here
from ilab_profiles.models.profile import Hardware, Profile
from ilab_profiles.models.train import Train

__all__ = ["Place", "Room", "room"]

Place: TypeAlias = Machine | Hardware | str | float | None
"""A machine, a profile's hardware, a model of GPU by name, or GiB of memory; ``None`` for what the profile names."""


@dataclass(frozen=True, slots=True)
class Room:
    """What there is for one process.

    Attributes:
        device: on what it runs, in words.
        cuda: whether that is a GPU.
        bytes: memory for one process: that of a GPU, or its share of main memory; ``None`` if it is not known.
        gpus: how many GPUs there are; ``None`` if that is not said.
        main_memory: main memory of the machine in bytes; ``None`` if it is not known.
    """

    device: str
    cuda: bool
    bytes: int | None
    gpus: int | None = None
    main_memory: int | None = None

    def lacks(self, processes: int) -> tuple[str, ...]:
        """A sentence if there are fewer GPUs than processes."""
        if not self.cuda or self.gpus is None or processes <= self.gpus:
            return ()
        need = "a process needs a GPU" if processes == 1 else f"{processes} processes need as many GPUs"
        return (f"{need}; there {'is' if self.gpus == 1 else 'are'} {self.gpus or 'none'}",)


def room(profile: Profile, place: Place) -> Room:
    """What there is for a process of a profile's training.

    Args:
        profile: the profile.
        place: where it runs; ``None``: on the hardware that the profile names, else on this machine.

    Raises:
        InputError: if there is no such model of GPU.
        TypeError: if the place is none of these.
    """
    train = profile.train
    if train.is_for_cpu:
        return _main_memory(train, place if isinstance(place, Machine) else here())
    match place:
        case None:
            return room(profile, profile.hardware if profile.hardware.memory or profile.hardware.gpu else here())
        case Hardware():
            return _meant(place)
        case str():
            model = named(place)
            return Room(str(model), True, model.memory)
        case int() | float() if not isinstance(place, bool) and 0 < place < math.inf:
            return Room(f"GPU of {place:g} GiB", True, round(place * 2**30))
        case Machine():
            usable = replace(place, gpus=tuple(gpu for gpu in place.gpus if gpu.kind != "apple"))
            return _on_gpus(train, usable) if usable.gpus or train.device == "cuda" else _main_memory(train, usable)
    raise TypeError(f"hardware is a Machine, a profile's hardware, the name of a GPU or GiB above 0, not {place!r}")


def _meant(hardware: Hardware) -> Room:
    """What a profile names: a model that is known, or any GPU that is sold with so much memory and reports less."""
    name = f"{hardware.gpu or 'GPU'} {f'{hardware.memory} GiB' if hardware.memory else ''}".strip()
    try:
        size = named(hardware.gpu, hardware.memory).memory if hardware.gpu else _reported(hardware.memory)
    except InputError:  # of a model that is not known, or comes in several sizes, what is said of its memory counts
        size = _reported(hardware.memory)
    return Room(name, True, size, hardware.count)


def _reported(gib: int | None) -> int | None:
    """The least that a GPU reports that is sold with so much memory."""
    if gib is None:
        return None
    return min((model.memory for model in MODELS if model.gib == gib), default=gib * 2**30 * 15 // 16)


def _main_memory(train: Train, machine: Machine) -> Room:
    share = machine.memory // train.num_processes
    return Room("CPU", False, share, len(machine.gpus), machine.memory)


def _on_gpus(train: Train, machine: Machine) -> Room:
    """The GPU with the least room counts, of those that the settings choose."""
    chosen = [gpu for number, gpu in enumerate(machine.gpus) if train.gpus is None or number in train.gpus]
    sizes = [gpu.memory if gpu.free is None else gpu.free for gpu in chosen]
    name = chosen[0].name if chosen else "GPU"
    known = [size for size in sizes if size is not None]
    return Room(name, True, min(known, default=None), len(machine.gpus), machine.memory)
