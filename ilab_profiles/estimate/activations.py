"""What a model's layers keep of each token for the backward pass, and what they need for a moment. Bytes a token.

It follows from what each operation of transformers' models saves: a product of matrices its input if its weight is
trained, an activation its input, a product of two both, attention its queries, keys, values and output. Under autocast
what goes into a product is cast anew for each product, and a norm computes in fp32; compiled layers keep less. The
tests compare this with traces of the real code, operation by operation.
"""

from __future__ import annotations

from ilab_profiles.estimate.anatomy.shapes import Architecture, Layer, Matrix
from ilab_profiles.estimate.setup import FP32, Setup

__all__ = ["at_end", "at_work", "is_adapted", "kept", "passed_on"]

_INTO_STREAM = {"o_proj", "out_proj", "dense", "c_proj", "down_proj", "dense_4h_to_h", "fc2", "fc_out", "w2", "wo"}
"""Layers that write to what goes from layer to layer; all others that are as wide read from it."""
_LAYER_NORM = {"bloom", "falcon", "gpt2", "gpt_neo", "gpt_neox", "gptj", "mpt", "opt", "phi", "stablelm", "starcoder2"}
"""Families with torch's ``LayerNorm``, one kernel; those of all others are written out, step by step."""
_FOUR_NORMS = {"gemma2", "gemma3_text", "glm4"}
_ONE_NORM = {"cohere", "falcon", "gptj", "phi"}
_HEAD_NORMS = {"gemma3_text", "olmo2", "qwen3", "qwen3_moe"}
_STEPWISE = {"bloom", "gpt2", "gpt_neo", "gptj", "phi"}
"""Families whose activation is written out: it keeps three numbers more for each."""
_RELU = {"opt"}
"""Families whose activation keeps only what it gives, which is kept anyway."""


def is_adapted(matrix: Matrix, setup: Setup) -> bool:
    """Whether a layer gets adapters."""
    if not setup.rank or not matrix.linear:
        return False
    return setup.targets is None or f".{matrix.path}".endswith(tuple(f".{target}" for target in setup.targets))


def passed_on(model: Architecture, setup: Setup) -> float:
    """What goes from layer to layer, and stays if activations are made anew."""
    return setup.stream * model.hidden


def kept(model: Architecture, layer: Layer, setup: Setup) -> float:
    """What a layer keeps of a token."""
    return (
        _norms(model, layer, setup) + _attention(model, layer, setup) + _mlp(model, layer, setup) + _ranks(layer, setup)
    )


def at_work(model: Architecture, layer: Layer, setup: Setup) -> float:
    """What the backward pass of a layer needs beside that, at its widest: in the MLP, or where the stream is added."""
    gradients = (setup.stream + setup.arithmetic) * model.hidden
    return gradients + 2 * setup.arithmetic * layer.inner


def at_end(model: Architecture, setup: Setup) -> float:
    """What the last norm keeps, and the states that are learned from, taken out of all; and tables of positions."""
    norm = FP32 * model.hidden + (0 if setup.rank else setup.stream * model.hidden)
    return norm + setup.stream * model.hidden + 2 * model.layers[0].head_dim * setup.stream


def _norms(model: Architecture, layer: Layer, setup: Setup) -> float:
    """Norms keep their input; written out, in fp32, and what they scale. Then what is kept of their output."""
    kind = model.model_type
    norms = 4 if kind in _FOUR_NORMS else 1 if kind in _ONE_NORM else 2
    if setup.compiled:
        held: float = setup.stream
    elif kind in _LAYER_NORM:
        held = max(setup.stream, FP32 if setup.autocast else 0)
    else:
        held = FP32 + (0 if setup.rank else FP32 if kind.startswith("gemma") else setup.stream)
    reading = [matrix for matrix in layer.matrices if matrix.inputs == model.hidden and not _writes(matrix)]
    return norms * held * model.hidden + _inputs(reading, setup)


def _writes(matrix: Matrix) -> bool:
    return matrix.name in _INTO_STREAM


def _inputs(reading: list[Matrix], setup: Setup) -> float:
    """What is kept of the inputs of layers that read what norms write, one for attention and one for the MLP."""
    reading = [matrix for matrix in reading if matrix.count == 1]
    if setup.rank:
        reading = [matrix for matrix in reading if is_adapted(matrix, setup)]
        if setup.inputs_cast:
            return sum(matrix.inputs * setup.trained for matrix in reading)
        if setup.dropout:
            return sum(matrix.inputs * (setup.arithmetic + _mask(setup)) for matrix in reading)
    if not reading:
        return 0
    if setup.autocast and setup.stream != setup.arithmetic and not setup.compiled:
        return sum(matrix.inputs * setup.arithmetic for matrix in reading)
    places = len({matrix.inside for matrix in reading})
    return places * reading[0].inputs * min(setup.stream, setup.arithmetic)


def _attention(model: Architecture, layer: Layer, setup: Setup) -> float:
    if not layer.heads:
        return 0
    queries, keys = layer.heads * layer.head_dim, layer.kv_heads * layer.head_dim
    copies = 2 if setup.kernel else 3
    held = setup.arithmetic * (copies * queries + 2 * keys) + FP32 * layer.heads
    if model.model_type in _HEAD_NORMS:
        held += (queries + keys) * (FP32 + (0 if setup.rank else setup.arithmetic))
    return held + sum(_dropped(matrix, setup) for matrix in _out_of(layer, queries))


def _out_of(layer: Layer, queries: int) -> list[Matrix]:
    """The matrix that attention ends with."""
    return [matrix for matrix in layer.matrices if matrix.inputs == queries and _writes(matrix)][:1]


def _dropped(matrix: Matrix, setup: Setup) -> float:
    """What dropout, or a cast, adds to the input of an adapter that is kept anyway."""
    if not is_adapted(matrix, setup):
        return 0
    dropped = setup.arithmetic + _mask(setup) if setup.dropout else 0
    return matrix.inputs * (dropped + (setup.trained if setup.inputs_cast else 0))


def _mlp(model: Architecture, layer: Layer, setup: Setup) -> float:
    """A gate, what it becomes, what it is multiplied with, what comes of that; or what goes in and what comes out."""
    down = [matrix for matrix in layer.matrices if _writes(matrix)][-1:]
    learned = not setup.rank or any(is_adapted(matrix, setup) for matrix in down)
    mask = _mask(setup) * layer.inner if learned and setup.dropout else 0
    wide = 3 + learned if layer.gated else 1 if model.model_type in _RELU else 1 + learned
    wide += -1 if setup.compiled else 3 if model.model_type in _STEPWISE else 0
    routed = 2 * layer.active * model.hidden if layer.active > 1 else 0
    return setup.arithmetic * (layer.inner * wide + routed) + mask


def _mask(setup: Setup) -> int:
    """What says whether a number was dropped: one byte on a GPU, on the CPU a number as wide."""
    return 1 if setup.cuda else setup.arithmetic


def _ranks(layer: Layer, setup: Setup) -> float:
    adapted = sum(matrix.count for matrix in layer.matrices if is_adapted(matrix, setup))
    return setup.arithmetic * setup.rank * adapted
