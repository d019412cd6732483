"""What a process of a training holds all the time: weights, the state of the optimizer, and what is around them."""

from __future__ import annotations

from collections.abc import Iterator

from ilab_profiles.estimate.anatomy.shapes import Architecture
from ilab_profiles.estimate.parts import Maker, Part
from ilab_profiles.estimate.setup import FP32, Setup

__all__ = ["LIBRARIES", "READING", "ZERO", "around", "learned", "portion", "state", "weights"]

_MIB = 2**20
LIBRARIES, READING = "Python, CUDA and their libraries", "model, while it is read"
"""Parts in main memory of a process on a GPU; the second one is gone when others come."""
ZERO = "Rajbhandari et al. 2020, section 3"


def learned(model: Architecture, setup: Setup) -> int:
    """Parameters that are trained: the model's, or those of its adapters."""
    return model.adapters(setup.rank, setup.targets) if setup.rank else model.parameters


def portion(shared: bool, setup: Setup) -> float:
    """What part of the whole a process holds."""
    return 1 / setup.processes if shared else 1


def weights(model: Architecture, setup: Setup) -> Iterator[Part]:
    """The weights: of a base and its adapters, or of the whole model; with a working copy, those that are updated."""
    part, trained = Maker(setup), learned(model, setup)
    whole = portion(setup.weights_shared, setup)
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
            ZERO,
            parameters=trained,
            bytes_each=setup.working,
            share=whole,
            away=setup.weights_offloaded,
        )
        kept, away = portion(setup.state_shared, setup), setup.state_offloaded
        yield part(
            f"{name}, as they are updated", ZERO, parameters=trained, bytes_each=setup.trained, share=kept, away=away
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


def state(model: Architecture, setup: Setup) -> Iterator[Part]:
    """What the optimizer keeps, and what the engine keeps for gradients."""
    part, trained = Maker(setup), learned(model, setup)
    share, away = portion(setup.state_shared, setup), setup.state_offloaded
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
        used = setup.buffers if setup.cuda else min(setup.buffers, trained * setup.gradient)  # which is lent when used
        yield part("buffer for gradients that travel", "DeepSpeed: reduce_bucket_size", bytes=used)


def around(model: Architecture, stays: float, moves: float, setup: Setup) -> Iterator[Part]:
    """What the allocator cannot use, and what the libraries take for themselves.

    Args:
        model: the model.
        stays: bytes that are held all the time.
        moves: bytes that come and go.
        setup: what the process does.
    """
    part, unused = Maker(setup), "what the allocator cannot use"
    if not setup.cuda:
        yield part(unused, "glibc keeps what is freed; measured", bytes=moves, share=_heap(setup), spread=(0.0, 1.6))
        libraries = (560 if setup.rank else 450) * _MIB
        yield part("Python and its libraries", "measured: torch, transformers", bytes=libraries, spread=(0.95, 1.4))
        return
    held = stays + moves
    yield part(unused, "expandable segments; assumed", bytes=held, share=setup.slack, spread=(0.0, 2.5))
    yield part("CUDA and its libraries", "context, kernels, workspaces; assumed", bytes=600 * _MIB, spread=(0.7, 1.5))
    yield from _in_main_memory(model, setup)
    if setup.processes > 1:
        yield part("NCCL", "buffers of its channels; assumed", bytes=500 * _MIB, spread=(0.4, 2.0))


def _in_main_memory(model: Architecture, setup: Setup) -> Iterator[Part]:
    """What a process on a GPU has in main memory: its libraries, and at its start the model that it reads."""
    part = Maker(setup)
    yield part(LIBRARIES, "assumed", bytes=3 * 2**30, spread=(0.5, 1.5), away=True)
    size = setup.other if setup.rank else min(setup.trained, setup.working or setup.trained)
    source = "transformers reads it before it goes to the GPU"
    yield part(READING, source, parameters=model.parameters, bytes_each=size, spread=(0, 1), away=True)


def _heap(setup: Setup) -> float:
    """What the heap of the C library loses where tensors come in many sizes: measured on tiny models."""
    if setup.recompute:
        return 0.82
    if setup.live or setup.arithmetic < FP32:
        return 0.55
    return 0.35 if setup.weights_shared else 0.22
