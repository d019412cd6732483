"""From numbers of samples to a loss: rows of samples, packed or padded, and what the model makes of them.

The loss is a sum over learned tokens, so that the parts of a global batch add up whatever the parts are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ilab_cli.backends.train.attention import segments
from ilab_cli.backends.train.data.dataset import Samples
from ilab_cli.backends.train.model import language_model
from ilab_profiles.estimate.moments import piece_of_head

if TYPE_CHECKING:
    import torch

__all__ = ["Batch", "Limits", "collate", "keeps_apart", "learner", "undisturbed"]

_IGNORE = -100
_WIDTH = 128


@dataclass(frozen=True)
class Limits:
    """How large a microbatch may be.

    Args:
        tokens: most tokens, padding included.
        width: tokens of the longest sample.
        packed: whether samples stand one after the other in one row; else each has a row, padded to the longest.
    """

    tokens: int
    width: int
    packed: bool

    def rounded(self, width: int, rows: int) -> int:
        """A width, made a multiple of 128 as far as that stays within the limits."""
        longest = self.tokens if self.packed else min(self.tokens // rows, self.width)
        return max(width, min(-(-width // _WIDTH) * _WIDTH, longest))


@dataclass(frozen=True, eq=False)
class Batch:
    """A microbatch.

    There is no attention mask: in a packed row the borders of the samples are told, and what is padded on the right is
    never looked at by causal attention, and nothing is learned there. Without a mask the fast kernels can be used.

    Args:
        inputs: what the model is given: ``input_ids``, int64 ``[rows, tokens]``, and of a packed row the borders.
        positions: int64 ``[k]``, the positions at which some row predicts a token that is learned.
        targets: int64 ``[rows, k]``, those tokens; -100 where this row has nothing to learn.
    """

    inputs: dict[str, Any]
    positions: torch.Tensor
    targets: torch.Tensor


def collate(samples: Samples, numbers: Sequence[int], device: torch.device, limits: Limits) -> Batch:
    """Put samples into rows. No samples make a batch of one token with nothing to learn.

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

    parts = [samples[number] for number in numbers]
    lengths = [len(ids) for ids, _ in parts] or [1]
    rows, width = (1, sum(lengths)) if limits.packed else (len(lengths), max(lengths))
    if device.type == "cuda" and parts:
        filled, width = width, limits.rounded(width, rows)
        lengths += [width - filled] if limits.packed and width > filled else []
    input_ids: NDArray[np.int64] = np.zeros((rows, width), np.int64)
    labels = np.full_like(input_ids, _IGNORE)
    begin = row = 0
    for ids, learned in parts:
        part = slice(begin, begin + len(ids))
        input_ids[row, part] = ids
        labels[row, part][learned] = ids[learned]
        begin, row = (part.stop, row) if limits.packed else (0, row + 1)
    predicting = np.flatnonzero((labels[:, 1:] != _IGNORE).any(axis=0)) if parts else np.zeros(1, np.int64)
    targets = labels[:, predicting + 1] if parts else labels
    ids, positions, wanted = (torch.from_numpy(array).to(device) for array in (input_ids, predicting, targets))
    return Batch({"input_ids": ids, **(segments(lengths, device) if limits.packed else {})}, positions, wanted)


def learner(model: Any, *, offload: bool = False) -> Any:
    """A model with its loss: the module that is trained.

    Args:
        model: ``transformers.PreTrainedModel``, or ``peft.PeftModel``.
        offload: whether activations wait in main memory for the backward pass.

    Returns:
        ``torch.nn.Module``, called with the three parts of a :class:`Batch`; it returns the sum of the cross-entropies
        of the learned tokens, a scalar in fp32. Its only child, ``model``, is the model.
    """
    import torch
    from torch.autograd.graph import save_on_cpu

    class Learner(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, inputs: dict[str, Any], positions: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            causal = language_model(self.model)
            with save_on_cpu(pin_memory=targets.is_cuda) if offload else nullcontext():
                outputs = causal.get_decoder()(**inputs, use_cache=False)
            outputs.last_hidden_state = outputs.last_hidden_state[:, positions].flatten(0, 1)
            return _summed(causal, outputs, targets.flatten())

    return Learner()


def _summed(causal: Any, outputs: Any, targets: torch.Tensor) -> torch.Tensor:
    """The sum of the cross-entropies of ``targets``, int64 ``[k]``, by what the head makes of the decoder's outputs.

    The head is run piece by piece, and again in the backward pass, so that the logits of a whole batch, the largest
    tensor of a model with many words, never exist.
    """
    import torch
    import torch.nn.functional as F
    from torch.utils.checkpoint import checkpoint

    def loss(hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        with _in_place_of(causal.get_decoder(), type(outputs)(**{**outputs, "last_hidden_state": hidden[None]})):
            logits = causal(use_cache=False).logits[0]
        return F.cross_entropy(logits.float(), targets, ignore_index=_IGNORE, reduction="sum")

    config = causal.config.get_text_config()
    piece = piece_of_head(config.vocab_size, config.hidden_size)
    pieces = list(zip(outputs.last_hidden_state.split(piece), targets.split(piece), strict=True))
    if len(pieces) == 1:
        return loss(*pieces[0])
    return torch.stack([checkpoint(loss, *part, use_reentrant=False) for part in pieces]).sum()


@contextmanager
def _in_place_of(decoder: Any, outputs: Any) -> Iterator[None]:
    """Let a model's decoder answer with given outputs: what is run then is the head, and all that belongs to it."""
    own = decoder.forward
    decoder.forward = lambda *_, **__: outputs
    try:
        yield
    finally:
        decoder.forward = own


@contextmanager
def undisturbed(network: Any) -> Iterator[None]:
    """Run a network without dropout and gradients."""
    import torch

    network.eval()
    for module in network.modules():
        if hasattr(module, "quant_state"):
            module.train()  # bitsandbytes would repack the weights for inference, for good; they know no dropout
    with torch.no_grad():
        yield
    network.train()


def keeps_apart(network: Any, words: int, device: torch.device) -> bool:
    """Whether samples in one row do not see each other: the loss of one does not change with another's tokens.

    Args:
        network: a :func:`learner`, wrapped or not; all processes ask at the same time.
        words: size of its vocabulary.
        device: where it is.
    """
    import torch

    def loss(first: int) -> float:
        ids = torch.cat([torch.arange(first, first + 8), torch.arange(8)]) % words
        positions = torch.arange(8, 15)
        targets = ids[None, positions + 1]
        inputs = {"input_ids": ids[None].to(device), **segments([8, 8], device)}
        return float(network(inputs, positions.to(device), targets.to(device)))

    with undisturbed(network):
        one, other = loss(8), loss(16)
    return abs(one - other) <= 1e-6 * abs(one)
