"""What a profile's training needs of memory: that of its phase that needs most, as a sum of parts and as a range."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from ilab_profiles.estimate.anatomy.shapes import Architecture
from ilab_profiles.estimate.memory import memory
from ilab_profiles.estimate.parts import Part
from ilab_profiles.estimate.room import Room
from ilab_profiles.estimate.setup import setup_of
from ilab_profiles.models.profile import Profile
from ilab_profiles.models.train import Train

__all__ = ["Need", "need"]

_UNKNOWN = (0.7, 1.3)
"""How far off the activations of a model may be that is not known."""


@dataclass(frozen=True, slots=True)
class Need:
    """What a process needs.

    Attributes:
        parts: what it is made of, the largest first.
        cuda: whether the training runs on GPUs.
        phase: the phase that needs most; empty if there are no phases.
        processes: processes of the training on one machine.
        trained: parameters that are trained.
    """

    parts: tuple[Part, ...]
    cuda: bool
    phase: str
    processes: int
    trained: int

    @property
    def counted(self) -> list[Part]:
        """The parts that lie where the training runs."""
        return [part for part in self.parts if part.where == ("gpu" if self.cuda else "main")]

    @property
    def peak(self) -> int:
        """What a process most likely takes, in bytes."""
        return round(sum(part.bytes for part in self.counted))

    @property
    def low(self) -> int:
        """What it takes at least."""
        return round(sum(part.low for part in self.counted))

    @property
    def high(self) -> int:
        """What it takes at most."""
        return round(sum(part.high for part in self.counted))

    @property
    def main_memory(self) -> int:
        """What all processes of a machine take of main memory."""
        return round(self.processes * sum(part.bytes for part in self.parts if part.where == "main"))

    def fits(self, room: Room) -> bool | None:
        """Whether even the high end has room; ``None`` if the room is not known."""
        if room.lacks(self.processes):
            return False
        if self.cuda and room.main_memory is not None and self.main_memory > room.main_memory:
            return False
        return None if room.bytes is None else self.high <= room.bytes


def need(profile: Profile, model: Architecture, room: Room) -> Need:
    """What the training of a profile needs, in the phase that needs most.

    Raises:
        InputError: if ``deepspeed_config`` cannot be read.
    """
    train = profile.train
    trained = (
        model.adapters(train.lora.lora_rank, train.lora.target_modules) if train.lora.enabled else model.parameters
    )
    needs = [
        Need(parts_of(run, model, room), room.cuda, name, train.num_processes, trained)
        for name, run in zip(train.phase_names or [""], train.runs(), strict=True)
    ]
    return max(needs, key=lambda found: found.peak)


def parts_of(train: Train, model: Architecture, room: Room) -> tuple[Part, ...]:
    """What a training without phases, or one of its phases, is made of."""
    return _widened(memory(model, setup_of(train, cuda=room.cuda)), model)


def _widened(parts: Iterable[Part], model: Architecture) -> tuple[Part, ...]:
    """The parts, their range wider where the model is not known."""
    if not model.unknown:
        return tuple(parts)
    low, high = _UNKNOWN
    return tuple(replace(part, low=part.low * low, high=part.high * high) for part in parts)
