"""On what a training runs, and how much memory is there: on a machine, on what a profile names, or on a named GPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from ilab_profiles.hardware.gpu_models import named
from ilab_profiles.hardware.machine import Machine, here
from ilab_profiles.models.profile import Hardware, Profile
from ilab_profiles.models.train import Train

__all__ = ["Place", "Room", "room"]

Place: TypeAlias = Machine | Hardware | str | int | None
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
        return (f"{processes} processes need as many GPUs; there are {self.gpus}",)


def room(profile: Profile, place: Place) -> Room:
    """What there is for a process of a profile's training.

    Args:
        profile: the profile.
        place: where it runs; ``None``: on the hardware that the profile names, else on this machine.

    Raises:
        InputError: if there is no such model of GPU.
    """
    train = profile.train
    if train.device == "cpu" or train.gpus == ():
        return _main_memory(train, place if isinstance(place, Machine) else here())
    match place:
        case None:
            return room(profile, profile.hardware if profile.hardware.memory or profile.hardware.gpu else here())
        case Hardware(gpu=str() as gpu):
            model = named(gpu, place.memory)
            return Room(str(model), True, model.memory, place.count)
        case Hardware(memory=int() as gib) | (int() as gib):
            return Room(f"GPU of {gib} GiB", True, gib * 2**30, place.count if isinstance(place, Hardware) else None)
        case Hardware():
            return Room("GPU", True, None, place.count)
        case str():
            model = named(place)
            return Room(str(model), True, model.memory)
        case Machine():
            return _on_gpus(train, place) if place.gpus or train.device == "cuda" else _main_memory(train, place)


def _main_memory(train: Train, machine: Machine) -> Room:
    share = machine.free_memory // train.num_processes
    return Room("CPU", False, share, len(machine.gpus), machine.free_memory)


def _on_gpus(train: Train, machine: Machine) -> Room:
    """The GPU with the least room counts, of those that the settings choose."""
    chosen = [gpu for number, gpu in enumerate(machine.gpus) if train.gpus is None or number in train.gpus]
    known = [gpu.free if gpu.free is not None else gpu.memory for gpu in chosen]
    sizes = [size for size in known if size is not None]
    name = chosen[0].name if chosen else "GPU"
    return Room(name, True, min(sizes, default=None), len(machine.gpus), machine.free_memory)
