"""Which profile suits a machine: the one made for exactly it, else the nearest, with what differs and whether it fits.

A profile says what it is made for under ``hardware``. One that names a model of GPU is for that model in that size and
number, and nothing else; one that names none is for any model with at least so much memory each, in exactly that
number; one that says nothing of GPUs is for any machine. What comes near is never taken for the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ilab_profiles.catalog import DEFAULT, built_in_files
from ilab_profiles.diagnostics import InputError, counted
from ilab_profiles.hardware.gpu_models import has, is_a, nominal

if TYPE_CHECKING:
    from ilab_profiles.hardware.machine import Gpu, Machine
    from ilab_profiles.models.profile import Hardware, Profile

__all__ = ["Offer", "Suits", "exact", "nearest", "offer", "suits"]

Suits = Literal["exact", "enough", "any", "no"]


@dataclass(frozen=True, slots=True)
class Offer:
    """A profile to begin with on a machine.

    Args:
        profile: its name.
        exact: whether it was made for exactly this machine.
        here: the machine's GPUs, or why there are none, in words.
        differs: what the profile expects otherwise, one phrase each; empty where nothing differs.
        fits: whether what it runs fits into the memory that is here, as estimated; ``None`` if that is not known.
        estimate: the estimate in words.
    """

    profile: str
    exact: bool
    here: str
    differs: tuple[str, ...]
    fits: bool | None
    estimate: str

    @property
    def why(self) -> str:
        """All of it in one line."""
        what = "made for exactly this machine" if self.exact else "; ".join(self.differs)
        return "; ".join(filter(None, [self.here, what, self.estimate]))


# --- one profile ------------------------------------------------------------------------------------------------------


def suits(hardware: Hardware, machine: Machine) -> Suits | None:
    """Whether a machine is what a profile is made for.

    Returns:
        ``exact`` for the named model, its size and the number of GPUs; ``enough`` where no model is named and number
        and memory will do; ``any`` where no GPU is asked for; ``no`` for all else; ``None`` where the GPUs do not tell
        their memory.
    """
    gpus = _gpus(machine)
    if hardware.count not in (0, len(gpus)):
        return "no"
    if hardware.gpu:
        return "exact" if gpus and all(is_a(gpu, hardware.gpu, hardware.memory) for gpu in gpus) else "no"
    if not hardware.memory:
        return "enough" if hardware.count else "any"
    told = [has(gpu, hardware.memory) for gpu in gpus]
    return None if None in told else "enough" if told and all(told) else "no"


def _gpus(machine: Machine) -> tuple[Gpu, ...]:
    """The GPUs that one run can use: of MIG slices only one, as they cannot talk to each other; of Apple's none."""
    gpus = tuple(gpu for gpu in machine.gpus if gpu.kind != "apple")
    return gpus[:1] if any(gpu.mig is not None for gpu in gpus) else gpus


def exact(machine: Machine, profiles: Mapping[str, Profile]) -> str | None:
    """The name of the profile that was made for exactly this machine, if there is one."""
    return next((name for name, held in profiles.items() if suits(held.hardware, machine) == "exact"), None)


# --- the nearest ------------------------------------------------------------------------------------------------------


def nearest(machine: Machine, profiles: Mapping[str, Profile]) -> list[str]:
    """The profiles that ask for no more than what is here, the nearest first.

    A profile asks for no more where it uses at most as many GPUs, each with at most as much memory as the smallest one
    here has. Of these the nearest uses the most GPUs; of those with that number, the most memory; of those, it names
    the model that is here, or at least none other. So four L4 are near to one L4, and not to two A100.
    """
    gpus = _gpus(machine)

    def rank(name: str) -> tuple[int, int, bool, bool]:
        hardware = profiles[name].hardware
        same = bool(hardware.gpu) and all(is_a(gpu, hardware.gpu or "") for gpu in gpus)
        return hardware.count, hardware.memory or 0, same, not hardware.gpu

    near = [name for name, held in profiles.items() if 0 < held.hardware.count <= len(gpus) and _will_do(held, gpus)]
    return sorted(near, key=rank, reverse=True)


def _will_do(profile: Profile, gpus: tuple[Gpu, ...]) -> bool:
    return all(has(gpu, profile.hardware.memory or 0) for gpu in gpus)


def _differences(hardware: Hardware, machine: Machine) -> Iterator[str]:
    """What a profile expects otherwise, as phrases."""
    gpus = _gpus(machine)
    if len(gpus) < len(machine.gpus) and gpus:
        yield "of MIG slices a run uses one"
    if len({gpu.name for gpu in gpus}) > 1:
        yield "the GPUs differ, and the smallest one counts"
    if hardware.count < len(gpus):
        yield f"it uses {hardware.count} of {counted(len(gpus), 'GPUs')}"
    if hardware.gpu and not all(is_a(gpu, hardware.gpu) for gpu in gpus):
        yield f"it is made for {hardware.gpu}"
    sizes = [size for gpu in gpus if (size := nominal(gpu)) is not None]
    if hardware.memory and sizes and min(sizes) > hardware.memory:
        yield f"it is made for {hardware.memory} GiB each, here are {min(sizes):g}"


# --- what is offered --------------------------------------------------------------------------------------------------


def offer(machine: Machine) -> Offer:
    """The built-in profile to begin with: the exact one; else the nearest that fits; else the one for any machine.

    Whether one fits, :func:`ilab_profiles.fit` works out for the model that the profile trains. One of which that is
    not known is offered too, and it is said.
    """
    from ilab_profiles.loading.sources import load

    profiles = {name: load(str(path)) for name, path in built_in_files().items()}
    here = machine.gpus_in_words or machine.no_gpus_because
    if found := exact(machine, profiles):
        return Offer(found, True, here, (), *_estimate(profiles[found], machine))
    near = nearest(machine, profiles)
    too_large = []
    for name in near:
        fits, words = _estimate(profiles[name], machine)
        if fits is not False:
            return Offer(name, False, here, tuple(_differences(profiles[name].hardware, machine)), fits, words)
        too_large.append(name)
    differs = [*_why_none(_gpus(machine), too_large), f"{DEFAULT} uses no GPU"] if _gpus(machine) else []
    return Offer(DEFAULT, False, here, tuple(differs), *_estimate(profiles[DEFAULT], machine))


def _why_none(gpus: tuple[Gpu, ...], too_large: list[str]) -> Iterator[str]:
    if too_large:
        yield f"by the estimate these do not fit: {', '.join(too_large)}"
    elif any(gpu.memory is None for gpu in gpus):
        yield "the GPUs do not tell their memory"
    else:
        yield "every profile for GPUs asks for more"


def _estimate(profile: Profile, machine: Machine) -> tuple[bool | None, str]:
    """Whether training the model that a profile names fits here, and that in words."""
    from ilab_profiles.estimate.fit import fit

    try:
        found = fit(profile, hardware=machine)
    except InputError as error:
        finding = error.findings[0]
        where = f"{finding.position}: " if finding.position else ""
        return None, f"whether it fits is not known: {where}{finding.message}"
    model = profile.train.model_path or profile.train.model_repo
    takes = f"{found.peak / 2**30:.1f} GiB" + (f" of {found.room / 2**30:.1f} free" if found.room else "")
    how = {True: " fits", False: " does not fit", None: ""}[found.fits]
    return found.fits, f"by the estimate{how and f' it{how}:'} training {model} takes {takes}"
