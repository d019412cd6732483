"""The plan of a run: which samples make which step, which process takes which of them, at what learning rate.

Made of the settings and the samples' lengths alone: every process computes the same plan for itself, and a run that
goes on after an interruption computes what it would have done. No torch, no I/O.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ilab_profiles import Train

__all__ = ["BatchPlan", "microbatches"]


@dataclass(frozen=True, eq=False)
class BatchPlan:
    """The plan of one run.

    Args:
        train: the settings.
        lengths: tokens of every sample, int64 ``[samples]``.
    """

    train: Train
    lengths: NDArray[np.int64]

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps of an epoch; the last, smaller batch is a step too."""
        return math.ceil(len(self.lengths) / self.train.effective_batch_size)

    @property
    def steps(self) -> int:
        """Optimizer steps of the run."""
        return self.train.num_epochs * self.steps_per_epoch

    def samples_seen(self, steps: int) -> int:
        """Samples trained on in the first ``steps`` steps, repetitions counted."""
        epochs, rest = divmod(steps, self.steps_per_epoch)
        return epochs * len(self.lengths) + min(rest * self.train.effective_batch_size, len(self.lengths))

    def tokens_seen(self, steps: int) -> int:
        """Tokens of those samples, padding not counted."""
        epochs, rest = divmod(self.samples_seen(steps), len(self.lengths))
        order = _order(len(self.lengths), self.train.seed, epochs)
        return epochs * int(self.lengths.sum()) + int(self.lengths[order[:rest]].sum())

    def batch(self, step: int) -> NDArray[np.int64]:
        """The samples of a step (from 0); their order is drawn anew for every epoch, from ``(seed, epoch)``.

        Returns:
            int64 ``[n]`` with ``1 <= n <= effective_batch_size``.
        """
        epoch, index = divmod(step, self.steps_per_epoch)
        size = self.train.effective_batch_size
        return _order(len(self.lengths), self.train.seed, epoch)[index * size : (index + 1) * size]

    def shares(self, step: int) -> list[list[list[int]]]:
        """The samples of a step as ``[rank][microbatch][sample]``, see :func:`microbatches`."""
        return microbatches(self.batch(step), self.lengths, self.train.world_size, self.train.max_batch_len)

    def due(self, step: int, every: int) -> bool:
        """Whether what is done every so many samples is due after a step (from 0), in which a multiple was reached.

        It does not depend on when it was done before, so that a run that was stopped does it where it would have.
        """
        return every > 0 and self.samples_seen(step + 1) // every > self.samples_seen(step) // every

    def learning_rate(self, step: int) -> float:
        """The learning rate of a step (from 0).

        It rises in equal parts over ``warmup_steps`` to its peak, then stays (``constant``), falls in a straight line
        (``linear``) or along half a cosine (``cosine``, Loshchilov & Hutter 2017, without restarts) towards zero,
        which it would reach one step after the last.
        """
        peak, warmup = self.train.learning_rate, self.train.warmup_steps
        if step < warmup:
            return peak * (step + 1) / (warmup + 1)
        progress = (step - warmup) / max(self.steps - warmup, 1)
        match self.train.lr_schedule:
            case "constant":
                return peak
            case "linear":
                return peak * (1 - progress)
            case "cosine":
                return peak * (1 + math.cos(math.pi * progress)) / 2

    def seed(self, step: int, rank: int) -> int:
        """Seed of the random numbers that a process draws in a step (dropout), whatever it drew before; 32 bits."""
        return int(np.random.SeedSequence([self.train.seed, step, rank]).generate_state(1)[0])


@lru_cache(maxsize=2)
def _order(samples: int, seed: int, epoch: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, epoch]).permutation(samples)


def microbatches(
    batch: Iterable[int], lengths: NDArray[np.int64], world_size: int, max_tokens: int
) -> list[list[list[int]]]:
    """Split a global batch over the processes, and each share into microbatches of at most ``max_tokens``.

    The samples are dealt out from the longest to the shortest, so that the processes get about the same number of
    tokens and samples of like length lie together. Padding to the longest of a microbatch counts.

    Args:
        batch: numbers of the samples.
        lengths: tokens of every sample, indexed by its number.
        world_size: number of processes.
        max_tokens: budget of a microbatch.

    Returns:
        ``[rank][microbatch][sample]``: the same number of microbatches for each rank; those at the end of a rank
        with less to do are empty.

    Raises:
        ValueError: if a sample alone is longer than ``max_tokens``.
    """
    ordered = sorted((int(sample) for sample in batch), key=lambda sample: (-int(lengths[sample]), sample))
    if ordered and lengths[ordered[0]] > max_tokens:
        raise ValueError(f"a sample of {lengths[ordered[0]]} tokens does not fit a microbatch of {max_tokens}")
    shares = [_fill(ordered[rank::world_size], lengths, max_tokens) for rank in range(world_size)]
    count = max(len(share) for share in shares)
    return [share + [[] for _ in range(count - len(share))] for share in shares]


def _fill(ordered: list[int], lengths: NDArray[np.int64], max_tokens: int) -> list[list[int]]:
    """Cut samples, longest first, into runs whose padded size stays within the budget."""
    filled: list[list[int]] = []
    for sample in ordered:
        if filled and (len(filled[-1]) + 1) * lengths[filled[-1][0]] <= max_tokens:
            filled[-1].append(sample)
        else:
            filled.append([sample])
    return filled
