"""What a model is made of, as its ``config.json`` says: counted exactly, without the libraries that would build it."""

from __future__ import annotations

import os
from pathlib import Path

from ilab_profiles.diagnostics import Finding, InputError
from ilab_profiles.estimate.families import FAMILIES, Family
from ilab_profiles.estimate.settings import ADVICE, Settings, load
from ilab_profiles.estimate.shapes import Architecture, Layer, Matrix

__all__ = ["Architecture", "Layer", "Matrix", "read"]

_MOST_LAYERS = 10_000


def read(model: str | os.PathLike[str]) -> Architecture:
    """What a model is made of.

    Args:
        model: its folder, or its ``config.json``.

    Raises:
        InputError: if there is no such model, or its ``config.json`` is wrong.
    """
    path = Path(model)
    settings = load(path / "config.json" if path.is_dir() else path)
    kind = settings.get("model_type")
    family = FAMILIES.get(kind)
    if family is None:
        raise InputError(Finding("model-config", f"model_type {kind!r} is not known", hint=ADVICE))
    return _built(kind, family, settings)


def _built(kind: str, family: Family, settings: Settings) -> Architecture:
    settings.speak(family.names, family.defaults)
    hidden, vocabulary = settings.number("hidden_size"), settings.number("vocab_size")
    count = settings.number("num_hidden_layers", most=_MOST_LAYERS)
    layers = tuple(_layer(family, settings, index) for index in range(count))
    tied = settings.flag("tie_word_embeddings")
    head = (0 if tied else hidden * vocabulary) + (vocabulary if family.head_bias else 0)
    settings.stop_if_refused()
    outside = (
        Matrix("embed_tokens", vocabulary, hidden, linear=False, inside="model"),
        Matrix("lm_head", hidden, vocabulary, family.head_bias),
    )
    return Architecture(
        kind,
        hidden,
        vocabulary,
        settings.optional("max_position_embeddings"),
        layers,
        embedding=vocabulary * hidden,
        head=head,
        other=family.norm_parameters * hidden,
        outside=outside,
    )


def _layer(family: Family, settings: Settings, index: int) -> Layer:
    attention, mlp = family.attention(settings, index), family.mlp(settings, index)
    norms = family.norms * family.norm_parameters * settings.number("hidden_size")
    return Layer(
        (*attention.matrices, *mlp.matrices),
        attention.other + mlp.other + norms,
        attention.heads,
        attention.kv_heads,
        attention.head_dim,
        mlp.inner,
        mlp.gated,
        mlp.active,
        settings.optional("sliding_window"),
    )
