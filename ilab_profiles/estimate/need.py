"""What a profile's training needs of memory: that of its phase that needs most, as a sum of parts and as a range."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from ilab_profiles.estimate.anatomy.shapes import Architecture
from ilab_profiles.estimate.memory import memory
from ilab_profiles.estimate.parts import Part
from ilab_profiles.estimate.room import Room
from ilab_profiles.estimate.setup import setup_of
from ilab_profiles.estimate.standing import LIBRARIES, READING, learned
from ilab_profiles.models.profile import Profile

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
        """What all processes of a machine take of main memory: what stays there, or the models while they are read."""
        main = {part.name: part.bytes for part in self.parts if part.where == "main"}
        reading = main.pop(READING, 0)
        return round(self.processes * max(sum(main.values()), main.get(LIBRARIES, 0) + reading))

    def fits(self, room: Room) -> bool | None:
        """Whether even the high end has room; ``None`` if the room is not known."""
        if self.lacks(room):
            return False
        return None if room.bytes is None else self.high <= room.bytes

    def lacks(self, room: Room) -> tuple[str, ...]:
        """What is missing beside memory for a process, a sentence each: GPUs, or main memory for what is kept there."""
        if not self.cuda or room.main_memory is None or self.main_memory <= room.main_memory:
            return room.lacks(self.processes)
        taken, there = self.main_memory / 2**30, room.main_memory / 2**30
        said = f"what is kept in main memory takes {taken:.1f} GiB of {there:.1f}"
        return (*room.lacks(self.processes), said)


def need(profile: Profile, model: Architecture, room: Room) -> Need:
    """What the training of a profile needs, in the phase that needs most.

    Raises:
        InputError: if ``deepspeed_config`` cannot be read.
    """
    train = profile.train
    names = zip(train.phase_names or [""], train.runs(), strict=True)
    setups = {setup_of(run, cuda=room.cuda): name for name, run in reversed([*names])}  # of the same ones the first
    needs = [
        Need(_widened(memory(model, setup), model), room.cuda, name, train.num_processes, learned(model, setup))
        for setup, name in reversed(setups.items())
    ]
    return max(needs, key=lambda found: found.peak)


def _widened(parts: Iterable[Part], model: Architecture) -> tuple[Part, ...]:
    """The parts, their range wider where the model is not known."""
    if not model.unknown:
        return tuple(parts)
    low, high = _UNKNOWN
    return tuple(replace(part, low=part.low * low, high=part.high * high) for part in parts)
