"""Which profile suits a machine: the one made for exactly it, else the nearest, with what differs and whether it fits.

A profile says what it is made for under ``hardware``. One that names a model of GPU is for that model in that size and
number, and nothing else; one that names none is for any model, in exactly that number, with at least so much memory
each or where the estimate says that it fits; one that says nothing of GPUs is for any machine. None that computes in
bf16 is for GPUs that cannot. What comes near is never taken for the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ilab_profiles.catalog import DEFAULT, built_in_files
from ilab_profiles.diagnostics import InputError, counted
from ilab_profiles.hardware.gpu_models import has, is_a, nominal, without_bf16

if TYPE_CHECKING:
    from ilab_profiles.estimate.fit import Fit
    from ilab_profiles.hardware.machine import Gpu, Machine
    from ilab_profiles.models.profile import Hardware, Profile

__all__ = ["Offer", "Suits", "exact", "nearest", "offer", "suits", "suits_or_fits"]

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
        passed_over: the profiles that are nearer and do not fit, with the reason of the first; empty if there are none.
    """

    profile: str
    exact: bool
    here: str
    differs: tuple[str, ...]
    fits: bool | None
    estimate: str
    passed_over: str = ""

    @property
    def why(self) -> str:
        """All of it in one line."""
        what = "made for exactly this machine" if self.exact else "; ".join(self.differs)
        return "; ".join(filter(None, [self.here, what, self.estimate, self.passed_over]))


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


def _used(hardware: Hardware, machine: Machine) -> tuple[Gpu, ...]:
    """The GPUs that a profile uses of those: the first ones, as many as it asks for."""
    return _gpus(machine)[: hardware.count]


def _cannot_compute(profile: Profile, machine: Machine) -> bool:
    """Whether a profile computes in bf16 on a GPU that does not."""
    return profile.train.precision == "bf16" and any(map(without_bf16, _used(profile.hardware, machine)))


def suits_or_fits(profile: Profile, machine: Machine) -> Suits | None:
    """The same as :func:`suits`, but of a profile that trains on GPUs of no named model the estimate decides."""
    hardware, found = profile.hardware, suits(profile.hardware, machine)
    if hardware.gpu or profile.train.is_for_cpu or not hardware.count or hardware.count != len(_gpus(machine)):
        return found
    if _cannot_compute(profile, machine):
        return "no"
    fits = _estimate(profile, machine)[0]
    return found if fits is None else "enough" if fits else "no"


def exact(machine: Machine, profiles: Mapping[str, Profile]) -> str | None:
    """The name of the profile that was made for exactly this machine, if there is one."""
    return next((name for name, held in profiles.items() if suits(held.hardware, machine) == "exact"), None)


# --- the nearest ------------------------------------------------------------------------------------------------------


def nearest(machine: Machine, profiles: Mapping[str, Profile]) -> list[str]:
    """The profiles that ask for no more than what is here, the nearest first.

    A profile asks for no more where it uses at most as many GPUs, and each of those that it uses, the first ones, has
    at least the memory that it names and computes in its precision. Of these the nearest uses the most GPUs; of those
    with that number, the most memory; of those, it names the model that is here. So four L4 are near to one L4, and not
    to two A100. Those that name no model come after them in the same order, whatever memory and precision they name:
    whether they can be taken is a matter of the estimate.
    """
    there = len(_gpus(machine))

    def rank(name: str) -> tuple[bool, bool, int, int, bool]:
        held = profiles[name]
        hardware, gpus = held.hardware, _used(held.hardware, machine)
        same = bool(hardware.gpu) and all(is_a(gpu, hardware.gpu or "") for gpu in gpus)
        computes = not _cannot_compute(held, machine)
        return bool(hardware.gpu), computes, hardware.count, hardware.memory or 0, same

    near = [name for name, held in profiles.items() if 0 < held.hardware.count <= there and _will_do(held, machine)]
    return sorted(near, key=rank, reverse=True)


def _will_do(profile: Profile, machine: Machine) -> bool:
    hardware = profile.hardware
    if not hardware.gpu:
        return True
    enough = all(has(gpu, hardware.memory or 0) for gpu in _used(hardware, machine))
    return enough and not _cannot_compute(profile, machine)


def _differences(profile: Profile, machine: Machine) -> Iterator[str]:
    """What a profile expects otherwise, as phrases."""
    hardware, all_gpus, gpus = profile.hardware, _gpus(machine), _used(profile.hardware, machine)
    if len(all_gpus) < len(machine.gpus):
        yield "of MIG slices a run uses one"
    if len({gpu.name for gpu in gpus}) > 1:
        least = min(gpus, key=lambda gpu: gpu.memory or 0)
        yield f"the GPUs that it uses differ, and the smallest, GPU {least.index}, counts"
    if len(gpus) < len(all_gpus):
        which = (
            ", " + " and ".join(f"GPU {gpu.index}" for gpu in gpus) if len({gpu.name for gpu in all_gpus}) > 1 else ""
        )
        yield f"it uses {len(gpus)} of {counted(len(all_gpus), 'GPUs')}{which}"
    if hardware.gpu and not all(is_a(gpu, hardware.gpu) for gpu in gpus):
        yield f"it is made for {hardware.gpu}"
    sizes, asked = [size for gpu in gpus if (size := nominal(gpu)) is not None], hardware.memory or 0
    if sizes and (min(sizes) > asked > 0 if hardware.gpu else not all(has(gpu, asked) for gpu in gpus)):
        yield f"it is made for {asked} GiB{' each' * (len(gpus) > 1)}, here are {min(sizes):g}"
    if _cannot_compute(profile, machine):
        yield "it computes in bf16, which this GPU does not have: set train.precision: fp16"


# --- what is offered --------------------------------------------------------------------------------------------------


def offer(machine: Machine) -> Offer:
    """The built-in profile to begin with: the exact one; else the nearest that fits; else the one for any machine.

    Whether one fits, :func:`ilab_profiles.fit` works out for the model that the profile trains. One of which that is
    not known is offered too, and it is said, but only if it names the model of its GPUs.
    """
    from ilab_profiles.loading.sources import load

    profiles = {name: load(str(path)) for name, path in built_in_files().items()}
    here = machine.gpus_in_words or machine.no_gpus_because
    if found := exact(machine, profiles):
        return Offer(found, True, here, (), *_estimate(profiles[found], machine)[:2])
    too_large: dict[str, str] = {}
    for name in nearest(machine, profiles):
        profile = profiles[name]
        fits, words, reason = _estimate(_computing(profile, machine), machine)
        if fits or (fits is None and profile.hardware.gpu):
            passed = f"nearer, but by the estimate they do not fit: {_listed(too_large)}" if too_large else ""
            return Offer(name, False, here, tuple(_differences(profile, machine)), fits, words, passed)
        if fits is False:
            too_large[name] = reason
    differs = [*_why_none(_gpus(machine), too_large), f"{DEFAULT} uses no GPU"] if _gpus(machine) else []
    return Offer(DEFAULT, False, here, tuple(differs), *_estimate(profiles[DEFAULT], machine)[:2])


def _computing(profile: Profile, machine: Machine) -> Profile:
    """The profile as it can compute here: where bf16 is not there, in fp16."""
    return profile.replace({"train.precision": "fp16"}) if _cannot_compute(profile, machine) else profile


def _listed(too_large: Mapping[str, str]) -> str:
    """The profiles that do not fit, and the reason of the first."""
    whose = f"{next(iter(too_large))}: " if len(too_large) > 1 else ""
    return f"{', '.join(too_large)} ({whose}{next(iter(too_large.values()))})"


def _why_none(gpus: tuple[Gpu, ...], too_large: Mapping[str, str]) -> Iterator[str]:
    if any(gpu.memory is None for gpu in gpus):
        yield "the GPUs do not tell their memory"
    elif too_large:
        yield f"by the estimate these do not fit: {_listed(too_large)}"
    else:
        yield "every profile for GPUs asks for more"


def _estimate(profile: Profile, machine: Machine) -> tuple[bool | None, str, str]:
    """Whether training the model that a profile names fits here; that in words; and of these the reason alone."""
    from ilab_profiles.estimate.fit import fit

    try:
        found = fit(profile, hardware=machine)
    except InputError as error:
        finding = error.findings[0]
        where = f"{finding.position}: " if finding.position else ""
        return None, f"whether it fits is not known: {where}{finding.message}", ""
    model = profile.train.model_path or profile.train.model_repo
    reason = "; ".join(_reasons(found, f"training {model} takes", machine))
    how = {True: " it fits", False: " it does not fit", None: ""}[found.fits]
    return found.fits, f"by the estimate{how}: {reason}", reason


def _reasons(found: Fit, takes: str, machine: Machine) -> Iterator[str]:
    """What is missing beside memory for a process, and what that takes, unless it takes no more than there is."""
    yield from found.lacks
    room, is_large = found.room, found.fits is False and found.peak <= (found.room or 0)
    if found.lacks and (room is None or found.high <= room):
        return
    size = f"up to {found.high / 2**30:.1f}" if is_large else f"{found.peak / 2**30:.1f}"
    told = found.where == "gpu" and all(gpu.free is not None for gpu in machine.gpus)
    yield f"{takes} {size} GiB" + (f" of {room / 2**30:.1f} {'free' if told else 'GiB here'}" if room else "")
