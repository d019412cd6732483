"""Log-likelihoods by the fewest tokens: what sequences share is run once, and its keys and values serve all of them.

The nodes of a tree are run level by level, in batches of about equal length, the longest first, so that a lack of
memory shows at once; a batch that does not fit is halved, and so are those after it. Of a stretch, only those positions
that are asked for go through the model's head, of which nothing but the place is known here: a hook in front of it
picks them, and what the model does to its logits afterwards is done as always. What the requests mean is told
elsewhere; for which models this works, in ``sharing``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

from ilab_cli.backends.evaluate.mmlu.tree import Node

__all__ = ["Answer", "Runner"]

_ALONE = 16
"""Children from which on a node is run by itself: its keys and values then serve whole batches, unpadded."""

Answer = tuple[float, bool]
"""The log-likelihood of a continuation, in nats, and whether the model would have chosen each of its tokens."""
Row = tuple[Node, int]
"""A node, and the row of its parent in the batch that the parent was run in."""


@dataclass(frozen=True, slots=True)
class _Past:
    """What a batch left behind for the nodes below it.

    Attributes:
        layers: keys and values of each layer, of shape (rows, heads, positions, size).
        lengths: tokens of each row, without padding.
        real: of shape (rows, positions): where there is a token; ``None`` if that is so everywhere.
    """

    layers: list[tuple[Tensor, Tensor]]
    lengths: Tensor
    real: Tensor | None


class _Layer(DynamicLayer):  # type: ignore[misc]
    """One layer's keys and values: those of earlier tokens, of which each new row takes one row's, before its own."""

    def __init__(self, past: tuple[Tensor, Tensor] | None, rows: Tensor, keep: bool) -> None:
        super().__init__()
        self._past, self._rows, self._keep = past, rows, keep

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        if self._past:
            new = zip(self._past, (key_states, value_states), strict=True)
            key_states, value_states = (torch.cat([_pick(old, self._rows), more], dim=-2) for old, more in new)
        if self._keep:
            self.keys, self.values = key_states, value_states
        return key_states, value_states

    def get_seq_length(self, *_: Any) -> int:
        return self._past[0].shape[-2] if self._past else 0


class Runner:
    """Runs trees through one model on one device.

    Args:
        model: a causal language model whose layers all attend to every earlier token.
        device: where its input goes.
        layers: number of its layers.
        rows: most sequences in a batch; ``None`` for as many as fit.
        tokens: most positions in a batch, padding and shared ones included; halved where memory does not suffice.
    """

    def __init__(self, model: Any, device: torch.device, layers: int, rows: int | None, tokens: int) -> None:
        self._model, self._device, self._layers = model, device, layers
        self._rows, self._tokens = rows, tokens
        self._places: tuple[Tensor, Tensor] | None = None
        self._sums: dict[int, tuple[float, bool]] = {}

    def run(self, roots: Iterable[Node], done: Callable[[int], object]) -> dict[int, Answer]:
        """The answer to every request in the trees, by its number.

        Args:
            roots: the trees.
            done: told how many more requests are answered.

        Raises:
            torch.OutOfMemoryError: if a single sequence does not fit.
        """
        self._sums = {}
        here = torch.cuda.device(self._device) if self._device.type == "cuda" else nullcontext()
        with here, torch.inference_mode(), self._only_wanted_logits():
            self._visit([(root, 0) for root in roots], None, done)
        return self._sums

    def _visit(self, rows: list[Row], past: _Past | None, done: Callable[[int], object]) -> None:
        waiting = sorted(rows, key=lambda row: (row[0].deepest, row[0].end), reverse=True)
        while waiting:
            batch = self._first(waiting, past)
            below = [(child, row) for row, (node, _) in enumerate(batch) for child in node.children]
            made, fits = None, True
            try:
                made = self._forward(batch, past, keep=bool(below))
            except Exception as error:
                if len(batch) == 1 or not should_reduce_batch_size(error):
                    raise
                fits = False
            if not fits:  # outside, where the error no longer holds what was computed
                clear_device_cache(garbage_collection=True)
                self._tokens = self._positions(batch, past) // 2
                continue
            del waiting[: len(batch)]
            done(sum(wanted.last for node, _ in batch for wanted in node.wanted))
            self._visit(below, made, done)

    def _first(self, waiting: list[Row], past: _Past | None) -> list[Row]:
        """The next batch."""
        batch = waiting[:1]
        for row in waiting[1 : self._rows]:
            many = max(len(row[0].children), len(batch[0][0].children)) >= _ALONE
            if many or self._positions([*batch, row], past) > self._tokens:
                break
            batch.append(row)
        return batch

    def _positions(self, batch: Sequence[Row], past: _Past | None) -> int:
        before = past.layers[0][0].shape[-2] if past else 0
        return len(batch) * (before + max(node.end - node.start for node, _ in batch))

    def _forward(self, batch: list[Row], past: _Past | None, *, keep: bool) -> _Past | None:
        """Run one batch, and add what is wanted to the sums."""
        width = max(node.end - node.start for node, _ in batch)
        ids = torch.zeros(len(batch), width, dtype=torch.long)
        for row, (node, _) in enumerate(batch):
            ids[row, : node.end - node.start] = torch.tensor(node.tokens)
        parents = torch.tensor([parent for _, parent in batch])
        cache = Cache([_Layer(past.layers[i] if past else None, parents, keep) for i in range(self._layers)])
        places = list(
            dict.fromkeys(_place(row, node, w.position) for row, (node, _) in enumerate(batch) for w in node.wanted)
        )
        rows, offsets = zip(*(places or [(0, 0)]), strict=True)
        self._places = torch.tensor(rows), torch.tensor(offsets)
        more = _with_holes(past, parents, width, self._device)
        logits = self._model(input_ids=ids.to(self._device), past_key_values=cache, use_cache=True, **more).logits[0]
        if logits.shape[0] != len(rows):
            raise ValueError("the model does not send its last states through its head alone")
        if places:
            self._add(batch, places, logits)
        return _left(cache, batch, past, parents, width) if keep else None

    def _add(self, batch: list[Row], places: list[tuple[int, int]], logits: Tensor) -> None:
        """Add the log-probabilities that are wanted of a batch to the sums of their requests."""
        index = {place: number for number, place in enumerate(places)}
        wanted = [(index[_place(row, node, w.position)], w) for row, (node, _) in enumerate(batch) for w in node.wanted]
        numbers = torch.tensor([number for number, _ in wanted], device=logits.device)
        tokens = torch.tensor([w.token for _, w in wanted], device=logits.device)
        logits = logits.float()
        found = logits[numbers, tokens] - logits.logsumexp(-1)[numbers]
        greedy = logits.argmax(-1)[numbers] == tokens
        for (_, w), value, is_greedy in zip(wanted, found.tolist(), greedy.tolist(), strict=True):
            total, all_greedy = self._sums.get(w.request, (0.0, True))
            self._sums[w.request] = total + value, all_greedy and is_greedy

    @contextmanager
    def _only_wanted_logits(self) -> Iterator[None]:
        """Let the head see nothing but the positions that are asked for."""

        def pick(_: Any, states: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            if self._places is None:
                return states
            rows, offsets = (place.to(states[0].device) for place in self._places)
            return states[0][rows, offsets][None], *states[1:]

        hook = self._model.get_output_embeddings().register_forward_pre_hook(pick)
        try:
            yield
        finally:
            hook.remove()


def _place(row: int, node: Node, position: int) -> tuple[int, int]:
    return row, position - node.start


def _pick(old: Tensor, rows: Tensor) -> Tensor:
    """The rows of a batch; without a copy if there is only one."""
    if old.shape[0] == 1:
        return old.expand(len(rows), *old.shape[1:])
    return old.index_select(0, rows.to(old.device))


def _with_holes(past: _Past | None, parents: Tensor, width: int, device: torch.device) -> dict[str, Tensor]:
    """The mask and the positions, where a model could not know them: where rows follow others of unequal length."""
    if past is None or past.real is None:
        return {}
    mask = torch.cat([past.real[parents], torch.ones(len(parents), width, dtype=torch.bool)], dim=1)
    positions = past.lengths[parents][:, None] + torch.arange(width)
    return {"attention_mask": mask.long().to(device), "position_ids": positions.to(device)}


def _left(cache: Cache, batch: list[Row], past: _Past | None, parents: Tensor, width: int) -> _Past:
    """What a batch leaves behind."""
    own = torch.tensor([node.end - node.start for node, _ in batch])
    real = torch.arange(width) < own[:, None]
    before = past.lengths[parents] if past else torch.zeros_like(own)
    if past:
        all_real = torch.ones(len(batch), past.layers[0][0].shape[-2], dtype=torch.bool)
        real = torch.cat([all_real if past.real is None else past.real[parents], real], dim=1)
    layers = [(layer.keys, layer.values) for layer in cache.layers]
    return _Past(layers, before + own, None if bool(real.all()) else real)
