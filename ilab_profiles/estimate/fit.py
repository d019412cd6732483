"""Whether a training fits its hardware, and what it takes of it: the question that users ask."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

from ilab_profiles.estimate.architecture import read
from ilab_profiles.estimate.change import Change, smallest
from ilab_profiles.estimate.disk import Disk, disk, weights
from ilab_profiles.estimate.need import Need, need
from ilab_profiles.estimate.parts import Part
from ilab_profiles.estimate.room import Place, Room, room
from ilab_profiles.hardware.gpu_models import without_bf16
from ilab_profiles.loading.sources import load
from ilab_profiles.models.profile import Profile

__all__ = ["Fit", "fit"]


@dataclass(frozen=True, slots=True)
class Fit:
    """What a training takes of memory, and whether it fits.

    Attributes:
        parameters: of the model.
        trained: of them, or of its adapters.
        device: on what it runs, in words.
        processes: processes of the training, on all machines.
        room: memory for one process in bytes; ``None`` if it is not known.
        peak: what a process most likely takes at its peak, in bytes.
        low: what it takes at least.
        high: what it takes at most.
        fits: whether even ``high`` has room; ``None`` if the room is not known.
        main_memory: what all processes of a machine take of main memory, in bytes.
        parts: what that is made of, the largest first.
        change: the smallest change of settings with which it fits; ``None`` if it does, or if none was found.
        phase: the phase that takes most; empty if there are no phases.
        unknown: what is not known, and makes the range wider; a sentence each.
        lacks: what is missing beside memory for a process, a sentence each: GPUs, or main memory.
        notes: what else is to know, a sentence each.
        where: memory that a process runs in: of the GPU, or main memory.
        disk: what the training writes; the tokenizer, which each checkpoint holds too, is not counted.
    """

    parameters: int
    trained: int
    device: str
    processes: int
    room: int | None
    peak: int
    low: int
    high: int
    fits: bool | None
    main_memory: int
    parts: tuple[Part, ...]
    change: Change | None
    disk: Disk
    phase: str = ""
    unknown: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    where: Literal["gpu", "main"] = "gpu"

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON-ready data, in GiB."""
        return {
            "parameters": self.parameters,
            "trained": self.trained,
            "device": self.device,
            "processes": self.processes,
            "room_gib": None if self.room is None else _gib(self.room),
            "peak_gib": _gib(self.peak),
            "low_gib": _gib(self.low),
            "high_gib": _gib(self.high),
            "fits": self.fits,
            "main_memory_gib": _gib(self.main_memory),
            "parts": [_part(part) for part in self.parts],
            "change": _change(self.change) if self.change else None,
            "phase": self.phase or None,
            "unknown": list(self.unknown),
            "lacks": list(self.lacks),
            "notes": list(self.notes),
            "where": self.where,
            "disk_gib": {name: _gib(size) for name, size in asdict(self.disk).items()},
        }


def fit(profile: Profile | str, model: str | os.PathLike[str] | None = None, hardware: Place = None) -> Fit:
    """Work out what a training takes of memory, and whether it fits.

    Args:
        profile: the profile, or its name.
        model: folder of the model, its ``config.json``, or its hub name; by default the one that the profile trains.
        hardware: where it runs: a machine (see :func:`ilab_profiles.hardware.machine.here`), a model of GPU by name, or
            GiB of memory of each GPU; by default what the profile names, else this machine.

    Raises:
        InputError: if the profile or the model cannot be read, or no such GPU is known.
        TypeError: if an argument is none of these.
    """
    profile = profile if isinstance(profile, Profile) else load(profile)
    train = profile.train
    if model is not None and not isinstance(model, str | os.PathLike):
        raise TypeError(f"model is a folder, a config.json or a name, not {model!r}")
    source = model or train.model_path or train.model_repo
    architecture = read(source, trust_remote_code=train.trust_remote_code)
    place = room(profile, hardware)

    def needed_by(changed: Profile) -> Need:
        return need(changed, architecture, place)

    needed = needed_by(profile)
    change = None
    if needed.fits(place) is False and not place.lacks(needed.processes):
        change = smallest(profile, needed_by, lambda other: other.fits(place))
    return Fit(
        parameters=architecture.parameters,
        trained=needed.trained,
        device=place.device,
        processes=train.world_size,
        room=place.bytes,
        peak=needed.peak,
        low=needed.low,
        high=needed.high,
        fits=needed.fits(place),
        main_memory=needed.main_memory,
        parts=needed.parts,
        change=change,
        disk=disk(train, weights(train, architecture)),
        phase=needed.phase,
        unknown=architecture.unknown,
        lacks=needed.lacks(place),
        notes=tuple(_notes(profile, place)),
        where="gpu" if place.cuda else "main",
    )


def _notes(profile: Profile, place: Room) -> Iterator[str]:
    if place.cuda and profile.train.precision == "bf16" and without_bf16(place.device):
        yield f"train.precision is bf16, in which {place.device} does not compute: set it to fp16"


def _part(part: Part) -> dict[str, Any]:
    return {
        "name": part.name,
        "gib": _gib(part.bytes),
        "low_gib": _gib(part.low),
        "high_gib": _gib(part.high),
        "formula": part.formula,
        "numbers": part.numbers,
        "source": part.source,
        "where": part.where,
    }


def _change(change: Change) -> dict[str, Any]:
    sizes = {"peak_gib": change.peak, "low_gib": change.low, "high_gib": change.high}
    sizes["main_memory_gib"] = change.main_memory
    return {
        "settings": change.settings,
        "price": list(change.price),
        **{key: _gib(size) for key, size in sizes.items()},
    }


def _gib(size: float) -> float:
    return round(size / 2**30, 3)
