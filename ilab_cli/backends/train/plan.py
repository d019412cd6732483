"""The plan of a run: which samples make which step, which process takes which of them, at what learning rate.

Made of the settings and the samples' lengths alone: every process computes the same plan for itself, and a run that
goes on after an interruption computes what it would have done. No torch, no I/O.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ilab_cli.backends.train.packing import Rows, costs, fill_rows, microbatches
from ilab_profiles import Train

__all__ = ["BatchPlan", "padded"]

_HIDDEN = 4096


@dataclass(frozen=True, eq=False)
class BatchPlan:
    """The plan of one run.

    What is drawn and dealt out are rows: with ``packing: full`` rows of several samples, else each sample by itself.

    Args:
        train: the settings.
        lengths: tokens of every sample, int64 ``[samples]``.
        hidden: width of the model, by which the cost of long samples is weighed.
    """

    train: Train
    lengths: NDArray[np.int64]
    hidden: int = _HIDDEN

    @cached_property
    def _rows(self) -> Rows:
        if self.train.packing == "full":
            return fill_rows(self.lengths, self.train.max_seq_len)
        return Rows.single(len(self.lengths))

    @cached_property
    def _tokens(self) -> NDArray[np.int64]:
        """Tokens of every row."""
        rows = self._rows
        return np.add.reduceat(self.lengths[rows.samples], rows.offsets[:-1])

    @cached_property
    def _costs(self) -> NDArray[np.float64]:
        """What every row costs, as packing weighs it; attention looks at the samples of a row each by itself."""
        rows = self._rows
        return np.add.reduceat(costs(self.lengths, self.hidden)[rows.samples], rows.offsets[:-1])

    @cached_property
    def _rows_per_step(self) -> int:
        """Rows of a step: as many as hold ``effective_batch_size`` samples on average."""
        return max(1, round(self.train.effective_batch_size * len(self._tokens) / len(self.lengths)))

    @cached_property
    def steps_per_epoch(self) -> int:
        """Optimizer steps of an epoch; the last, smaller batch is a step too."""
        return math.ceil(len(self._tokens) / self._rows_per_step)

    @property
    def steps(self) -> int:
        """Optimizer steps of the run."""
        return self.train.num_epochs * self.steps_per_epoch

    def samples_seen(self, steps: int) -> int:
        """Samples trained on in the first ``steps`` steps, repetitions counted."""
        return int(self._seen(steps, len(self.lengths), lambda epoch: epoch.samples))

    def tokens_seen(self, steps: int) -> int:
        """Tokens of those samples, padding not counted."""
        return int(self._seen(steps, int(self._tokens.sum()), lambda epoch: epoch.tokens))

    def cost_seen(self, steps: int) -> float:
        """What those samples cost, in tokens, see :func:`~ilab_cli.backends.train.packing.costs`."""
        return float(self._seen(steps, float(self._costs.sum()), lambda epoch: epoch.costs))

    def _seen(self, steps: int, all_of_them: float, sums: Callable[[_Epoch], NDArray[Any]]) -> Any:
        epochs, rest = divmod(steps, self.steps_per_epoch)
        begun = sums(self._epoch(epochs))[rest * self._rows_per_step - 1] if rest else 0
        return epochs * all_of_them + begun

    @lru_cache(maxsize=2)  # noqa: B019
    def _epoch(self, number: int) -> _Epoch:
        """The order of an epoch, drawn anew for each from ``(seed, epoch)``."""
        order = np.random.default_rng([self.train.seed, number]).permutation(len(self._tokens))
        samples = np.diff(self._rows.offsets)
        sums = (np.cumsum(each[order]) for each in (samples, self._tokens, self._costs))
        return _Epoch(order, *sums)

    def _batch_rows(self, step: int) -> NDArray[np.int64]:
        epoch, index = divmod(step, self.steps_per_epoch)
        return self._epoch(epoch).order[index * self._rows_per_step : (index + 1) * self._rows_per_step]

    def batch(self, step: int) -> list[int]:
        """The samples of a step (from 0): at least one, and with ``packing: full`` only about as many as asked for."""
        return self._samples(self._batch_rows(step))

    def _samples(self, rows: Iterable[int]) -> list[int]:
        samples, offsets = self._rows
        return [int(sample) for row in rows for sample in samples[offsets[row] : offsets[row + 1]]]

    def shares(self, step: int) -> list[list[list[int]]]:
        """The samples of a step as ``[rank][microbatch][sample]``.

        Every rank has the same number of microbatches, of at most ``max_batch_len`` tokens each; some may be empty.
        """
        train = self.train
        if train.packing == "none":
            return padded(self.batch(step), self.lengths, train.world_size, train.max_batch_len)
        rows = self._batch_rows(step)
        shares = microbatches(self._tokens[rows], train.world_size, train.max_batch_len, self.hidden)
        return [[self._samples(rows[part]) for part in share] for share in shares]

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


class _Epoch(NamedTuple):
    """The rows of an epoch in their order, and samples, tokens and cost of the first of them, summed up."""

    order: NDArray[np.int64]
    samples: NDArray[np.int64]
    tokens: NDArray[np.int64]
    costs: NDArray[np.float64]


def padded(batch: Iterable[int], lengths: NDArray[np.int64], world_size: int, max_tokens: int) -> list[list[list[int]]]:
    """Split a global batch over the processes, for models that cannot tell packed samples from one another.

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
