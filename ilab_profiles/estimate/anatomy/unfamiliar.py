"""A model of an unknown family: layers like those of most models, with as many parameters as its files hold."""

from __future__ import annotations

from dataclasses import replace

from ilab_profiles.estimate.anatomy.attention import separate
from ilab_profiles.estimate.anatomy.building import build
from ilab_profiles.estimate.anatomy.family import Family
from ilab_profiles.estimate.anatomy.mlps import gated
from ilab_profiles.estimate.anatomy.settings import Settings
from ilab_profiles.estimate.anatomy.shapes import Architecture, Layer

__all__ = ["guess"]

_CALLED = {
    "hidden_size": ("hidden_size", "n_embd", "d_model", "dim", "model_dim"),
    "num_hidden_layers": ("num_hidden_layers", "n_layer", "n_layers", "num_layers"),
    "num_attention_heads": ("num_attention_heads", "n_head", "n_heads", "num_heads"),
    "num_key_value_heads": ("num_key_value_heads", "num_kv_heads", "n_kv_heads", "multi_query_group_num"),
    "intermediate_size": ("intermediate_size", "ffn_hidden_size", "ffn_dim", "n_inner", "d_ff"),
    "max_position_embeddings": ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length"),
    "vocab_size": ("vocab_size", "padded_vocab_size"),
}
"""What families call the sizes that nearly all have."""
_WIDTH_OF_HEAD = 128


def guess(kind: str, settings: Settings, stored: int | None, unknown: tuple[str, ...] = ()) -> Architecture:
    """What such a model is most likely made of; its ``unknown`` says what that rests on.

    Args:
        kind: its ``model_type``.
        settings: what its ``config.json`` says.
        stored: parameters in its files of weights, if it has any.
        unknown: what is not known besides.

    Raises:
        InputError: if not even its width, its layers or its vocabulary are told.
    """
    names = {ours: next((key for key in keys if settings.data.get(key)), ours) for ours, keys in _CALLED.items()}
    settings.speak(names, {})
    hidden = settings.number("hidden_size")
    heads = max(hidden // _WIDTH_OF_HEAD, 1)
    inner = -(
        -8 * hidden // 3
    )  # two thirds of four times the width, as a gate makes three matrices of two (Shazeer 2020)
    settings.speak(names, {"num_attention_heads": heads, "intermediate_size": inner})
    how = "with as many parameters as its files hold" if stored else "and their sizes guessed"
    said = f"the architecture {kind} is not known: layers like llama's are assumed, {how}"
    model = build(kind, Family(separate(), gated()), settings, (*unknown, said))
    return _with(model, stored) if stored else model


def _with(model: Architecture, stored: int) -> Architecture:
    """The model with as many parameters as are stored: more go beside the matrices, fewer shrink the MLPs."""
    count = len(model.layers)
    surplus = stored - model.parameters
    if surplus >= 0:
        layers = [
            replace(layer, other=layer.other + share)
            for layer, share in zip(model.layers, _shares(surplus, count), strict=True)
        ]
        return replace(model, layers=tuple(layers))
    width = 3 * model.hidden
    room = max(model.layers[0].inner + surplus // (width * count), 0)
    smaller = replace(model, layers=tuple(_shrunk(layer, room) for layer in model.layers))
    left = stored - smaller.parameters
    return replace(smaller, other=max(smaller.other + left, 0))


def _shrunk(layer: Layer, inner: int) -> Layer:
    attention, up = layer.matrices[:-3], layer.matrices[-3:-1]
    ups = (replace(matrix, outputs=inner) for matrix in up)
    return replace(layer, matrices=(*attention, *ups, replace(layer.matrices[-1], inputs=inner)))


def _shares(total: int, count: int) -> list[int]:
    """A total in so many whole parts that are as even as can be."""
    return [total // count + (number < total % count) for number in range(count)]
