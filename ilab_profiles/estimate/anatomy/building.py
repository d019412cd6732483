"""From a family and a model's settings to its architecture."""

from __future__ import annotations

from ilab_profiles.estimate.anatomy.family import Family, Norms
from ilab_profiles.estimate.anatomy.settings import Settings
from ilab_profiles.estimate.anatomy.shapes import Architecture, Layer, Matrix
from ilab_profiles.estimate.anatomy.states import CARRYING

__all__ = ["build"]

_MOST_LAYERS = 1000


def build(kind: str, family: Family, settings: Settings, unknown: tuple[str, ...] = ()) -> Architecture:
    """The architecture of a model.

    Args:
        kind: its ``model_type``.
        family: how it is built.
        settings: what its ``config.json`` says, under the family's names.
        unknown: what is not known of it, a sentence each.

    Raises:
        InputError: if settings lack, or are wrong.
    """
    count = settings.number("num_hidden_layers", most=_MOST_LAYERS)
    embedding, head, between = _ends(family, settings)
    bias = head.outputs if head.bias else 0
    shared = settings.flag("tie_word_embeddings")
    positions = settings.optional("max_position_embeddings")
    layers = [_layer(family, settings, 0)]  # what is wrong with one is wrong with most, and told with the rest
    settings.stop_if_refused()
    layers += [_layer(family, settings, index) for index in range(1, count)]
    settings.stop_if_refused()
    if carrying := sum(any(matrix.inside in CARRYING for matrix in layer.matrices) for layer in layers):
        said = f"{carrying} of its {count} layers carry a state instead of attention: what that takes is not known"
        unknown = (*unknown, said)
    return Architecture(
        kind,
        settings.number("hidden_size"),
        settings.number("vocab_size"),
        positions,
        tuple(layers),
        embedding=sum(matrix.parameters for matrix in embedding),
        head=bias if shared else head.parameters,
        other=_norms(family.last, settings) + sum(matrix.parameters for matrix in between),
        unknown=unknown,
        outside=(*embedding, *between, head),
        stack=family.stack,
        renamed=tuple(family.renamed.items()),
    )


def _layer(family: Family, settings: Settings, index: int) -> Layer:
    attention, mlp = family.attention(settings, index), family.mlp(settings, index)
    return Layer(
        (*attention.matrices, *mlp.matrices),
        attention.other + mlp.other + _norms(family.norms, settings),
        attention.heads,
        attention.kv_heads,
        attention.head_dim,
        mlp.inner,
        mlp.gated,
        mlp.active,
        family.window(settings, index),
    )


def _norms(norms: Norms, settings: Settings) -> int:
    return settings.number("hidden_size") * (norms if isinstance(norms, int) else norms(settings))


def _ends(family: Family, settings: Settings) -> tuple[list[Matrix], Matrix, list[Matrix]]:
    """Embeddings and head, and what stands between them and the layers, where their width is another."""
    hidden, vocabulary = settings.number("hidden_size"), settings.number("vocab_size")
    width = settings.number(family.narrow, hidden) if family.narrow else hidden
    embeddings = [_named(family.embedding, vocabulary, width)]
    if family.learned:
        places = settings.number("max_position_embeddings") + family.reserved
        embeddings.append(_named(family.learned, places, hidden))
    head = _named(family.head, width, vocabulary, family.head_bias)
    where = family.embedding.rpartition(".")[0]
    sides = {"project_out": (hidden, width), "project_in": (width, hidden)} if width != hidden else {}
    return embeddings, head, [Matrix(name, *side, inside=where) for name, side in sides.items()]


def _named(path: str, inputs: int, outputs: int, bias: bool = False) -> Matrix:
    inside, _, name = path.rpartition(".")
    return Matrix(name, inputs, outputs, bias, linear=False, inside=inside)
