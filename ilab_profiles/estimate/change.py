"""The smallest change of settings with which a training fits: what costs least is tried first, true to the rules."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import combinations, product
from typing import Any, NamedTuple

from ilab_profiles.diagnostics import InputError
from ilab_profiles.estimate.need import Need
from ilab_profiles.models.profile import Profile
from ilab_profiles.models.train import Train
from ilab_profiles.rules.language import value_at
from ilab_profiles.rules.violations import violations

__all__ = ["Change", "smallest"]


@dataclass(frozen=True, slots=True)
class Change:
    """Settings with which a training fits.

    Attributes:
        settings: values by dotted path.
        price: what each costs in speed or quality, a sentence each.
        peak: what a process then most likely takes, in bytes.
        low: what it takes at least.
        high: what it takes at most.
        main_memory: what all processes of a machine then take of main memory.
    """

    settings: dict[str, Any]
    price: tuple[str, ...]
    peak: int
    low: int
    high: int
    main_memory: int


@dataclass(frozen=True, slots=True, eq=False)
class _Step:
    """A change that may help.

    Attributes:
        cost: how unwelcome it is; what changes the result costs more than what takes time.
        price: what it costs, in words.
        settings: the values, of which a training that has them needs no change.
        useful: whether it can help a training; what the rules refuse need not be said.
    """

    cost: int
    price: str
    settings: Mapping[str, Any]
    useful: Callable[[Train], bool] = lambda train: True


_DEEPSPEED = "train.deepspeed."
_STEPS = (
    _Step(
        1,
        "the optimizer's step is done by one kernel: the same up to rounding",
        {"train.optimizer": "adamw_fused"},
        lambda train: train.optimizer == "adamw" and train.master_weights == "fp32" and not train.deepspeed.enabled,
    ),
    _Step(
        3,
        "about a third more computation: activations are made anew in the backward pass",
        {"train.gradient_checkpointing": True},
    ),
    _Step(
        4,
        "more traffic between GPUs: weights are split over them",
        {f"{_DEEPSPEED}enabled": True, f"{_DEEPSPEED}zero_stage": 3},
        lambda train: train.world_size > 1 and not train.fsdp.enabled and not train.deepspeed.deepspeed_config,
    ),
    _Step(
        5,
        "more traffic to main memory: activations wait there for the backward pass",
        {"train.offload_activations": True},
    ),
    _Step(
        6,
        "slower steps: the optimizer works in main memory",
        {f"{_DEEPSPEED}cpu_offload_optimizer": True},
        lambda train: train.deepspeed.enabled and not train.deepspeed.deepspeed_config,
    ),
    _Step(
        6,
        "slower: weights and optimizer wait in main memory",
        {"train.fsdp.fsdp_cpu_offload": True},
        lambda train: train.fsdp.enabled,
    ),
    _Step(
        7,
        "the optimizer's state is rounded to 8 bits; needs bitsandbytes",
        {"train.optimizer": "adamw_8bit"},
    ),
    _Step(
        8,
        "arithmetic is rounded to bf16",
        {"train.precision": "bf16"},
        lambda train: train.precision == "fp32",
    ),
    _Step(
        9,
        "much slower: weights wait in main memory too",
        {f"{_DEEPSPEED}cpu_offload_params": True},
        lambda train: train.deepspeed.enabled and not train.deepspeed.deepspeed_config,
    ),
    _Step(
        10,
        "arithmetic is rounded to bf16, and trained weights, kept so, at random",
        {"train.master_weights": "bf16", "train.precision": "bf16"},
        lambda train: not train.lora.enabled,
    ),
    _Step(
        12,
        "the base model is rounded to 4 bits; needs bitsandbytes",
        {f"{_DEEPSPEED}quantize_dtype": "nf4"},
        lambda train: not train.is_for_cpu,
    ),
    _Step(
        14,
        "adapters are trained instead of the whole model",
        {"train.lora.enabled": True},
    ),
)
_LENGTH, _BATCH, _GRAIN = "train.max_seq_len", "train.max_batch_len", 1024
_FEWER_TOKENS = "more microbatches, of fewer tokens each: somewhat slower, the same result"
_SHORTER = {
    "drop": "conversations longer than max_seq_len are left out",
    "truncate": "conversations longer than max_seq_len lose their end",
}
_MOST = 4
_COST_OF_A_BATCH = 2
_COST_OF_LENGTH = 20
_SHORTEST = 256


def smallest(profile: Profile, needed: Callable[[Profile], Need], fits: Callable[[Need], bool | None]) -> Change | None:
    """The change that costs least with which a training fits, or ``None`` if none was found.

    Args:
        profile: the profile.
        needed: what a profile needs.
        fits: whether there is room for that.
    """

    @cache
    def fitting(settings: tuple[tuple[str, Any], ...]) -> Need | None:
        changed = _with(profile, settings)
        if any(violation.severity == "error" for violation in violations(changed)):
            return None
        found = needed(changed)
        return found if fits(found) else None

    @cache
    def may_help(group: tuple[_Step, ...]) -> bool:
        settings, shortest = _settings_of(group), min(_lengths(profile.train))
        least = {_LENGTH: shortest, _BATCH: min(shortest, profile.train.max_batch_len)}
        return bool(fitting(_key(settings | least)) or fitting(_key(settings)))

    for candidate in _candidates(profile.train):
        if not may_help(candidate.group):
            continue
        settings = _settled(candidate, lambda tried: fitting(_key(tried)) is not None)
        if (found := fitting(_key(settings))) and _is_accepted(profile, settings):
            new = {path: value for path, value in settings.items() if value_at(profile, path) != value}
            return Change(new, candidate.price, found.peak, found.low, found.high, found.main_memory)
    return None


def _key(settings: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple(settings.items())


def _with(section: Any, settings: Iterable[tuple[str, Any]]) -> Any:
    """A section with some values changed, unchecked: to tell all that is wrong with it takes ten times as long."""
    for path, value in settings:
        name, _, rest = path.partition(".")
        new = _with(getattr(section, name), [(rest, value)]) if rest else value
        section = section.model_copy(update={name: new})
    return section


def _is_accepted(profile: Profile, settings: Mapping[str, Any]) -> bool:
    """Whether a profile may have these settings, as loading checks it."""
    try:
        profile.replace(settings)
    except InputError:
        return False
    return True


class _Candidate(NamedTuple):
    """Steps to try, with a length, and sizes of microbatches of which the largest that fits is wanted."""

    cost: int
    price: tuple[str, ...]
    group: tuple[_Step, ...]
    settings: dict[str, Any]
    sizes: range


def _settled(candidate: _Candidate, fitting: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The settings of a candidate with the size of its microbatches: the largest that fits, else the smallest."""
    if not candidate.sizes:
        return candidate.settings
    tokens = _most(candidate.sizes, lambda count: fitting({**candidate.settings, _BATCH: count}))
    return {**candidate.settings, _BATCH: tokens}


def _candidates(train: Train) -> list[_Candidate]:
    """What to try, the cheapest first."""
    useful = [step for step in _STEPS if step.useful(train) and not _is_so(train, step.settings)]
    groups = [group for count in range(_MOST + 1) for group in combinations(useful, count)]
    found: list[_Candidate] = []
    for group, (halved, length), smaller in product(groups, enumerate(_lengths(train)), (False, True)):
        sizes = range(length, train.max_batch_len, min(length, _GRAIN)) if smaller else range(0)
        if smaller and not sizes:
            continue
        cost = sum(step.cost for step in group) + _COST_OF_A_BATCH * smaller + _COST_OF_LENGTH * halved
        settings = _settings_of(group) | ({_LENGTH: length} if halved else {})
        price = (
            *(step.price for step in group),
            *[_FEWER_TOKENS] * smaller,
            *[_SHORTER[train.too_long]] * bool(halved),
        )
        found.append(_Candidate(cost, price, group, settings, sizes))
    return sorted(found, key=lambda candidate: candidate.cost)


def _settings_of(group: tuple[_Step, ...]) -> dict[str, Any]:
    return {path: value for step in group for path, value in step.settings.items()}


def _is_so(train: Train, settings: Mapping[str, Any]) -> bool:
    return all(value_at(train, path.removeprefix("train.")) == value for path, value in settings.items())


def _lengths(train: Train) -> list[int]:
    """The length of the longest conversation as it is, and halved as often as makes sense."""
    lengths = [train.max_seq_len]
    while lengths[-1] // 2 >= _SHORTEST:
        lengths.append(lengths[-1] // 2)
    return lengths


def _most(sizes: range, fits: Callable[[int], bool]) -> int:
    """The largest size that fits, the smallest if none does: what is larger needs more."""
    return sizes[max(bisect_left(sizes, True, key=lambda size: not fits(size)) - 1, 0)]
