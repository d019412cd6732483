"""Values that follow from others, each with its formula and the numbers that went into it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from ilab_profiles.models.profile import Profile
from ilab_profiles.models.train import Train

__all__ = ["Derived", "derived"]


@dataclass(frozen=True, slots=True)
class Derived:
    """A derived value.

    Attributes:
        path: dotted path under which it can be asked for.
        value: the number.
        unit: what it counts.
        description: what it is, in one line.
        formula: how it follows from settings, in their names.
        numbers: the same with their values.
    """

    path: str
    value: int
    unit: str
    description: str
    formula: str
    numbers: str


def derived(profile: Profile, samples: int | None = None) -> dict[str, Derived]:
    """What follows from a profile, by dotted path; where there are phases, what differs between them for each phase.

    Args:
        profile: the profile.
        samples: number of conversations to train on; without it there are no steps per epoch.
    """
    return {item.path: item for item in _derive(profile, samples)}


def _derive(profile: Profile, samples: int | None) -> Iterator[Derived]:
    train = profile.train
    yield Derived(
        "train.world_size",
        train.world_size,
        "processes",
        "Processes on all machines together",
        "num_gpus (else the number of gpus, else 1) * torchrun.nnodes",
        f"{train.num_processes} * {train.torchrun.nnodes}",
    )
    if not train.phases:
        yield from _of_batch(train, "train", "effective_batch_size", samples)
    for number, (phase, alone) in enumerate(zip(train.phases, train.runs(), strict=False)):
        where = f"phases.{number}"
        name = f"{where}.effective_batch_size" if phase.effective_batch_size else "effective_batch_size"
        yield from _of_batch(alone, f"train.{where}", name, samples)


def _of_batch(train: Train, where: str, name: str, samples: int | None) -> Iterator[Derived]:
    """What follows from the samples of one optimizer step, which the setting called ``name`` gives."""
    batch = train.effective_batch_size
    share = math.ceil(batch / train.world_size)
    yield Derived(
        f"{where}.samples_per_process",
        share,
        "samples",
        "Samples per process in one optimizer step, at most",
        f"ceil({name} / world_size)",
        f"ceil({batch} / {train.world_size})",
    )
    fits = max(1, train.max_batch_len // train.max_seq_len)
    yield Derived(
        f"{where}.gradient_accumulation",
        math.ceil(share / fits),
        "microbatches",
        "Microbatches per optimizer step, at most (when every conversation is max_seq_len long)",
        "ceil(samples_per_process / floor(max_batch_len / max_seq_len))",
        f"ceil({share} / floor({train.max_batch_len} / {train.max_seq_len}))",
    )
    yield Derived(
        f"{where}.tokens_per_batch",
        batch * train.max_seq_len,
        "tokens",
        "Tokens in one optimizer step, at most",
        f"{name} * max_seq_len",
        f"{batch} * {train.max_seq_len}",
    )
    if samples is not None:
        yield Derived(
            f"{where}.steps_per_epoch",
            math.ceil(samples / batch),
            "steps",
            "Optimizer steps in one pass over the data",
            f"ceil(samples / {name})",
            f"ceil({samples} / {batch})",
        )
