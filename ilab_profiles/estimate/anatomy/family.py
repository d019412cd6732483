"""What it takes to say how a family of models is built."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ilab_profiles.estimate.anatomy.attention import Attention
from ilab_profiles.estimate.anatomy.mlps import Mlp
from ilab_profiles.estimate.anatomy.settings import Settings
from ilab_profiles.estimate.anatomy.windows import Window, none

__all__ = ["Family", "Norms"]

Norms = int | Callable[[Settings], int]


@dataclass(frozen=True, slots=True)
class Family:
    """How a family is built.

    Args:
        attention: of a layer.
        mlp: of a layer.
        norms: parameters of a layer's norms, as multiples of the model's width: an RMSNorm has one, a LayerNorm two.
        last: the same of the norms outside layers.
        window: how far back a layer looks.
        names: what it calls settings, see :meth:`~ilab_profiles.estimate.anatomy.settings.Settings.speak`.
        embedding: the embedding's name in the model.
        head: the head's.
        stack: the list of layers'.
        head_bias: whether the head has a bias.
        learned: the embedding of positions, if they are learned.
        reserved: positions that it has beyond those told.
        narrow: the setting that tells the embedding's width, where it may differ from the model's.
        renamed: see :class:`~ilab_profiles.estimate.anatomy.shapes.Architecture`.
    """

    attention: Callable[[Settings, int], Attention]
    mlp: Callable[[Settings, int], Mlp]
    norms: Norms = 2
    last: Norms = 1
    window: Window = none
    names: Mapping[str, str] = field(default_factory=dict)
    embedding: str = "model.embed_tokens"
    head: str = "lm_head"
    stack: str = "model.layers"
    head_bias: bool = False
    learned: str = ""
    reserved: int = 0
    narrow: str = ""
    renamed: Mapping[str, str] = field(default_factory=dict)
