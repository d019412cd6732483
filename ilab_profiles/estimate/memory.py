"""How much memory a training takes: what each process holds at the moment when it holds most, part by part.

There are four such moments: the head's forward and backward pass, the backward pass of the layers, and the optimizer's
step. A part is a product of numbers that are named, so that what is shown is what was computed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from ilab_profiles.estimate import activations
from ilab_profiles.estimate.anatomy.shapes import Architecture
from ilab_profiles.estimate.setup import Setup

__all__ = ["MIB", "Part", "memory", "peak"]

MIB = 2**20
_LOGITS = 2**26
"""Logits of a piece of the head, unless half the head's width gives more, as in ``ilab_cli.backends.train.loss``."""
_SAME = (1.0, 1.0)
_PACKED = "what each operation saves, see ilab_profiles/estimate/activations.py; compared with traces of the real code"
_ZERO = "Rajbhandari et al. 2020, section 3"


@dataclass(frozen=True, slots=True)
class Part:
    """What something takes of memory, in bytes.

    Attributes:
        name: what.
        bytes: what it most likely takes.
        low: what it takes at least.
        high: what it takes at most.
        formula: the names of the numbers that are multiplied.
        numbers: the numbers.
        source: where the formula, or a number, comes from.
        where: memory of the GPU, or main memory.
    """

    name: str
    bytes: float
    low: float
    high: float
    formula: str
    numbers: str
    source: str
    where: Literal["gpu", "main"]


def memory(model: Architecture, setup: Setup) -> tuple[Part, ...]:
    """What a process holds when it holds most.

    Args:
        model: the model.
        setup: what the process does.

    Returns:
        the parts, on the GPU and in main memory, the largest first; their sum is the estimate.
    """
    always = [*_weights(model, setup), *_state(model, setup)]
    moments = [[*always, *moment] for moment in _moments(model, setup)]
    most = max(moments, key=lambda parts: peak(parts, setup))
    parts = [*most, *_around(most, setup)]
    return tuple(sorted((part for part in parts if part.bytes), key=lambda part: -part.bytes))


def peak(parts: Iterable[Part], setup: Setup) -> float:
    """The sum of the parts that lie where the training runs."""
    where = "gpu" if setup.cuda else "main"
    return sum(part.bytes for part in parts if part.where == where)


class _Maker:
    """Makes parts of named numbers, for one setup."""

    def __init__(self, setup: Setup) -> None:
        self.here: Literal["gpu", "main"] = "gpu" if setup.cuda else "main"

    def __call__(
        self,
        name: str,
        source: str,
        *,
        spread: tuple[float, float] = _SAME,
        away: bool = False,
        **factors: float,
    ) -> Part:
        value = math.prod(factors.values())
        told = [(key.replace("_", " "), number) for key, number in factors.items() if number != 1]
        return Part(
            name,
            value,
            value * spread[0],
            value * spread[1],
            " * ".join(key for key, _ in told),
            " * ".join(_told(number) for _, number in told),
            source,
            "main" if away else self.here,
        )


def _told(number: float) -> str:
    return f"{number:,.0f}" if number >= 1000 or number == int(number) else f"{number:.4g}"


# --- what is there all the time ---------------------------------------------------------------------------------------


def _trained(model: Architecture, setup: Setup) -> int:
    return model.adapters(setup.rank, setup.targets) if setup.rank else model.parameters


def _share(shared: bool, setup: Setup) -> float:
    return 1 / setup.processes if shared else 1


def _weights(model: Architecture, setup: Setup) -> Iterator[Part]:
    part, trained = _Maker(setup), _trained(model, setup)
    whole = _share(setup.weights_shared, setup)
    if setup.rank:
        linear = sum(matrix.parameters for _, matrix in model.linears())
        away = setup.weights_offloaded
        yield part("base", "type of the base", parameters=linear, bytes_each=setup.base, share=whole, away=away)
        rest = model.parameters - linear
        name = "embeddings, head and norms of the base"
        yield part(name, "type of the arithmetic", parameters=rest, bytes_each=setup.other, share=whole, away=away)
    name = "adapters" if setup.rank else "weights"
    if setup.working:
        yield part(
            f"{name}, to compute with",
            _ZERO,
            parameters=trained,
            bytes_each=setup.working,
            share=whole,
            away=setup.weights_offloaded,
        )
        kept, away = _share(setup.state_shared, setup), setup.state_offloaded
        yield part(
            f"{name}, as they are updated", _ZERO, parameters=trained, bytes_each=setup.trained, share=kept, away=away
        )
        return
    yield part(
        name,
        "train.master_weights",
        parameters=trained,
        bytes_each=setup.trained,
        share=whole,
        away=setup.weights_offloaded,
    )


def _state(model: Architecture, setup: Setup) -> Iterator[Part]:
    part, trained = _Maker(setup), _trained(model, setup)
    share, away = _share(setup.state_shared, setup), setup.state_offloaded
    ends = 0 if setup.rank or setup.state == setup.end_state else model.embedding + model.head
    source = "train.optimizer, see ilab_profiles/estimate/setup.py"
    yield part("optimizer state", source, parameters=trained - ends, bytes_each=setup.state, share=share, away=away)
    yield part(
        "optimizer state of embeddings and head",
        source,
        parameters=ends,
        bytes_each=setup.end_state,
        share=share,
        away=away,
    )
    if setup.buffers:
        yield part("buffer for gradients that travel", "DeepSpeed: reduce_bucket_size", bytes=setup.buffers)


# --- moments ----------------------------------------------------------------------------------------------------------


def _moments(model: Architecture, setup: Setup) -> Iterator[list[Part]]:
    begun = [*_gradients(model, setup, setup.gradients_stay), *_stored(model, setup)]
    before_head = _before_head(model, setup)
    yield [*begun, before_head, *_head_forward(model, setup)]
    yield [*begun, before_head, *_head_backward(model, setup)]
    yield [*begun, *_layer_backward(model, setup)]
    yield [*_gradients(model, setup, True), *_last_layer(model, setup), *_layer_backward(model, setup)]
    yield [*_gradients(model, setup, True), *_step(model, setup)]


def _gradients(model: Architecture, setup: Setup, there: bool) -> Iterator[Part]:
    share = _share(setup.gradients_shared, setup)
    away = setup.state_offloaded and setup.weights_shared
    trained = _trained(model, setup) if there else 0
    yield _Maker(setup)("gradients", _ZERO, parameters=trained, bytes_each=setup.gradient, share=share, away=away)


def _stored(model: Architecture, setup: Setup) -> Iterator[Part]:
    """Activations of all layers, or what goes from one to the next where they are made anew; copies of the weights."""
    part, away = _Maker(setup), setup.activations_offloaded
    each = [activations.kept(model, layer, setup) for layer in model.layers]
    if setup.recompute:
        each = [activations.passed_on(model, setup) for _ in model.layers]
    mean = sum(each) / len(each)
    yield part(
        "activations", _PACKED, spread=(0.97, 1.03), away=away,
        tokens=setup.tokens, layers=len(each), bytes_each=mean,
    )  # fmt: skip
    if not setup.recompute:
        yield _copies(model, setup)


def _before_head(model: Architecture, setup: Setup) -> Part:
    ends = activations.at_end(model, setup)
    return _Maker(setup)("activations before the head", _PACKED, tokens=setup.tokens, bytes_each=ends)


def _copies(model: Architecture, setup: Setup) -> Part:
    """Autocast makes a copy of each trained matrix, and keeps it for the backward pass."""
    matrices = sum(matrix.parameters for layer in model.layers for matrix in layer.matrices)
    copied = matrices if _are_copied(setup) else 0
    name = "copies of the weights to compute with"
    return _Maker(setup)(name, "torch.autocast caches casts", parameters=copied, bytes_each=setup.arithmetic)


def _are_copied(setup: Setup) -> bool:
    """Whether autocast makes copies of weights: of trained ones, unless what is gathered has the type already."""
    return setup.autocast and not setup.rank and setup.trained != setup.arithmetic and not setup.weights_shared


def _piece(model: Architecture, setup: Setup) -> int:
    piece = max(1, _LOGITS // model.vocabulary, model.hidden // 2) if setup.pieces else setup.tokens
    return min(piece, setup.tokens)


def _head_forward(model: Architecture, setup: Setup) -> Iterator[Part]:
    part = _Maker(setup)
    if setup.recompute:
        yield _copies(model, setup)
    yield part(
        "logits", "as computed, in fp32, and their softmax",
        tokens=_piece(model, setup), vocabulary=model.vocabulary, bytes_each=max(setup.logit - 2, 0),
    )  # fmt: skip
    yield from _gathered(model, setup, layers=setup.gathered_ahead)


def _head_backward(model: Architecture, setup: Setup) -> Iterator[Part]:
    part = _Maker(setup)
    yield part(
        "logits", "in fp32, their softmax, and its gradient",
        tokens=_piece(model, setup), vocabulary=model.vocabulary, bytes_each=setup.logit,
    )  # fmt: skip
    copies = 0 if setup.rank else 1 + setup.autocast
    yield part(
        "head at work", "its gradient, and under autocast a copy of its weights",
        vocabulary=model.vocabulary, width=model.hidden, bytes_each=setup.arithmetic, copies=copies,
    )  # fmt: skip
    yield from _gathered(model, setup, layers=setup.gathered_ahead)


def _layer_backward(model: Architecture, setup: Setup) -> Iterator[Part]:
    """The widest layer at work: its activations if they are made anew, and gradients on their way through it."""
    part = _Maker(setup)
    layer = max(model.layers, key=lambda layer: activations.kept(model, layer, setup))
    if setup.recompute:
        kept = activations.kept(model, layer, setup) - activations.passed_on(model, setup)  # what went in is there
        yield part(
            "activations of a layer, made anew", _PACKED, tokens=setup.tokens, bytes_each=kept, spread=(0.97, 1.03)
        )
        matrices = sum(matrix.parameters for matrix in layer.matrices) if _are_copied(setup) else 0
        yield part("copies of a layer's weights", "torch.autocast", parameters=matrices, bytes_each=setup.arithmetic)
    work = activations.at_work(model, layer, setup)
    yield part("gradients of activations", _PACKED, tokens=setup.tokens, bytes_each=work, spread=(0.9, 1.1))
    if setup.base < setup.arithmetic and setup.rank:
        largest = max(matrix.parameters // matrix.count for matrix in layer.matrices)
        yield part("a matrix of the base, unpacked", "bitsandbytes", parameters=largest, bytes_each=setup.arithmetic)
    yield from _gathered(model, setup, layers=setup.gathered_layers)


def _last_layer(model: Architecture, setup: Setup) -> Iterator[Part]:
    """What is stored when the backward pass comes to its last layer."""
    part = _Maker(setup)
    each = activations.passed_on(model, setup) if setup.recompute else activations.kept(model, model.layers[0], setup)
    yield part("activations of a layer", _PACKED, tokens=setup.tokens, bytes_each=each)


def _gathered(model: Architecture, setup: Setup, layers: int) -> Iterator[Part]:
    """What is whole for a while of weights that are shared out, and gradients before they are."""
    if not setup.weights_shared or setup.processes == 1:
        return
    part, longest = _Maker(setup), model.longest_layer.parameters
    ends = model.embedding + model.head + model.other
    live = min(setup.live, model.parameters)
    if setup.live:
        yield part(
            "weights that are gathered", "DeepSpeed: stage3_max_live_parameters", spread=(0.3, 1.0),
            parameters=live + longest, bytes_each=setup.gathered,
        )  # fmt: skip
        return
    yield part("ends that are gathered", "FSDP keeps its root whole", parameters=ends, bytes_each=setup.gathered)
    yield part(
        "layers that are gathered",
        "FSDP: one at work, one on its way",
        layers=layers,
        parameters=longest,
        bytes_each=setup.gathered,
    )
    if layers and not setup.rank:
        yield part(
            "gradients of a layer that travel", "FSDP adds them in fp32", parameters=longest, bytes_each=setup.reduced
        )


def _step(model: Architecture, setup: Setup) -> Iterator[Part]:
    part, share = _Maker(setup), _share(setup.state_shared, setup)
    if not setup.state_offloaded:
        trained = _trained(model, setup)
        yield part("step of the optimizer", "torch.optim", parameters=trained, bytes_each=setup.step, share=share)
        largest = max(_sizes(model, setup), default=0)
        yield part(
            "largest matrix, at its step", "torch.optim", parameters=largest, bytes_each=setup.largest, share=share
        )


def _sizes(model: Architecture, setup: Setup) -> Iterator[int]:
    """Numbers of the matrices that are trained."""
    if setup.rank:
        for _, matrix, times in model.adapted(setup.targets):
            yield times * setup.rank * max(matrix.inputs, matrix.outputs)
        return
    yield from (matrix.parameters for layer in model.layers for matrix in layer.matrices)
    yield max(model.embedding, model.head)


# --- what is around ---------------------------------------------------------------------------------------------------


def _around(parts: Sequence[Part], setup: Setup) -> Iterator[Part]:
    """What the allocator cannot use, and what the libraries take for themselves."""
    part = _Maker(setup)
    held = peak(parts, setup)
    if not setup.cuda:
        yield part(
            "what the allocator cannot use",
            "glibc keeps what is freed; measured",
            bytes=held,
            share=0.05,
            spread=(0.0, 3.0),
        )
        yield part(
            "Python and its libraries", "measured: torch, transformers, accelerate", bytes=600 * MIB, spread=(0.8, 1.4)
        )
        return
    yield part(
        "what the allocator cannot use", "expandable segments; measured", bytes=held, share=setup.slack, spread=(0.0, 2.0)
    )
    yield part("CUDA and its libraries", "measured: context, kernels, workspaces", bytes=600 * MIB, spread=(0.7, 1.5))
    if setup.processes > 1:
        yield part("NCCL", "buffers of its channels", bytes=500 * MIB, spread=(0.4, 2.0))
