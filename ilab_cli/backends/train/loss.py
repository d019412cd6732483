"""From numbers of samples to a loss: padding, and the sum of the losses of the tokens that are learned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ilab_cli.backends.train.dataset import Samples

if TYPE_CHECKING:
    import torch

__all__ = ["Batch", "Limits", "collate", "token_loss"]

_IGNORE = -100
_WIDTH = 128


class Limits(NamedTuple):
    """How large a microbatch may be: its tokens, padding included, and those of one sample."""

    tokens: int
    width: int

    def rounded(self, width: int, samples: int) -> int:
        """A width, made a multiple of 128 as far as that stays within the limits."""
        return max(width, min(-(-width // _WIDTH) * _WIDTH, self.tokens // samples, self.width))


@dataclass(frozen=True, eq=False)
class Batch:
    """A microbatch, padded on the right.

    There is no attention mask: what stands on the right is never looked at by causal attention, and nothing is learned
    there. Without a mask the fast kernels can be used.

    Args:
        input_ids: int64 ``[samples, tokens]``.
        positions: int64 ``[k]``, the positions at which some sample predicts a token that is learned.
        targets: int64 ``[samples, k]``, those tokens; -100 where this sample has nothing to learn.
    """

    input_ids: torch.Tensor
    positions: torch.Tensor
    targets: torch.Tensor


def collate(samples: Samples, numbers: Sequence[int], device: torch.device, limits: Limits) -> Batch:
    """Pad samples to the longest of them. No samples make a batch of one token with nothing to learn.

    A process that has run out of samples still takes part in the exchange of gradients with such a batch. On a GPU the
    width is a multiple of 128 where that fits: each new shape costs kernels that are planned and memory that is cut
    anew, on an H100 two thirds of the time.

    Args:
        samples: the data.
        numbers: which of them.
        device: where the batch goes.
        limits: how large it may be.
    """
    import torch

    rows = [samples[number] for number in numbers]
    width = max((len(ids) for ids, _ in rows), default=1)
    if device.type == "cuda" and rows:
        width = limits.rounded(width, len(rows))
    input_ids: NDArray[np.int64] = np.zeros((max(len(rows), 1), width), np.int64)
    labels = np.full_like(input_ids, _IGNORE)
    for row, (ids, learned) in enumerate(rows):
        input_ids[row, : len(ids)] = ids
        labels[row, : len(ids)][learned] = ids[learned]
    predicting = np.flatnonzero((labels[:, 1:] != _IGNORE).any(axis=0)) if rows else np.zeros(1, np.int64)
    targets = labels[:, predicting + 1] if rows else labels
    return Batch(*(torch.from_numpy(array).to(device) for array in (input_ids, predicting, targets)))


def token_loss(model: Any, batch: Batch) -> torch.Tensor:
    """The sum of the cross-entropies of the learned tokens, a scalar in fp32.

    Logits are computed only at positions where something is learned: on prompts they would be thrown away.
    """
    import torch.nn.functional as F

    logits = model(input_ids=batch.input_ids, logits_to_keep=batch.positions, use_cache=False).logits
    return F.cross_entropy(logits.flatten(0, 1).float(), batch.targets.flatten(), ignore_index=_IGNORE, reduction="sum")
