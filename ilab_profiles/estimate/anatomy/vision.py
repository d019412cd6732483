"""What a model has beside its language model to see with: SigLIP (Zhai et al. 2023), as Gemma 3 has it.

It is loaded with the rest and, unless frozen, trained with it; text alone never goes through it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ilab_profiles.estimate.anatomy.family import Family
from ilab_profiles.estimate.anatomy.settings import Settings
from ilab_profiles.estimate.anatomy.shapes import Architecture, Matrix

__all__ = ["DEFAULTS", "seeing", "within"]

DEFAULTS = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "num_channels": 3,
    "image_size": 224,
    "patch_size": 16,
    "vision_use_head": True,
}
"""What transformers takes where the file leaves it out."""
_TEXT = "model.language_model"
_TOWER = "model.vision_tower.encoder"
_POOL = "model.vision_tower.head"


def within(family: Family) -> Family:
    """A family with the names that its modules have inside a model that sees."""
    return replace(family, embedding=f"{_TEXT}.embed_tokens", stack=f"{_TEXT}.layers")


def seeing(model: Architecture, settings: Settings) -> Architecture:
    """A language model with the tower that reads an image, and the way from there.

    Args:
        model: the language model.
        settings: the part ``vision_config``.

    Raises:
        InputError: if settings are wrong.
    """
    settings.speak({}, DEFAULTS)
    hidden, inner = settings.number("hidden_size"), settings.number("intermediate_size")
    layers, patch = settings.number("num_hidden_layers", most=1000), settings.number("patch_size")
    pixels, patches = settings.number("num_channels") * patch**2, (settings.number("image_size") // patch) ** 2
    pooled = settings.flag("vision_use_head")
    settings.stop_if_refused()
    matrices = [matrix for number in range(layers) for matrix in _layer(f"{_TOWER}.layers.{number}", hidden, inner)]
    embedding, norms, way = hidden * (pixels + 1 + patches), 2 * hidden * (2 * layers + 1), hidden * (model.hidden + 1)
    other = embedding + norms + way
    if pooled:
        out = Matrix("out_proj", hidden, hidden, True, inside=f"{_POOL}.attention")
        matrices += [out, *_mlp(_POOL, hidden, inner)]
        other += 3 * hidden * (hidden + 1) + 3 * hidden
    other += model.other + sum(matrix.parameters for matrix in matrices)
    return replace(model, outside=(*model.outside, *matrices), other=other)


def _layer(inside: str, hidden: int, inner: int) -> Iterator[Matrix]:
    for name in ("k_proj", "v_proj", "q_proj", "out_proj"):
        yield Matrix(name, hidden, hidden, True, inside=f"{inside}.self_attn")
    yield from _mlp(inside, hidden, inner)


def _mlp(inside: str, hidden: int, inner: int) -> Iterator[Matrix]:
    yield Matrix("fc1", hidden, inner, True, inside=f"{inside}.mlp")
    yield Matrix("fc2", inner, hidden, True, inside=f"{inside}.mlp")
