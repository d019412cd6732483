"""The families of models that are known, and how each is built."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ilab_profiles.estimate.blocks import Attention, Mlp, attention, gated
from ilab_profiles.estimate.settings import Settings

__all__ = ["FAMILIES", "Family"]


@dataclass(frozen=True, slots=True)
class Family:
    """How a family is built."""

    attention: Callable[[Settings, int], Attention]
    mlp: Callable[[Settings, int], Mlp]
    norms: int = 2
    norm_parameters: int = 1
    defaults: Mapping[str, Any] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    head_bias: bool = False


FAMILIES: dict[str, Family] = {
    "llama": Family(attention("attention_bias"), gated("mlp_bias"), defaults={"max_position_embeddings": 2048}),
    "granite": Family(attention("attention_bias"), gated("mlp_bias"), defaults={"max_position_embeddings": 2048}),
    "mistral": Family(attention(), gated(), defaults={"num_key_value_heads": 8, "sliding_window": 4096}),
    "qwen2": Family(attention(True, False), gated(), defaults={"num_key_value_heads": 32}),
    "qwen3": Family(
        attention("attention_bias", norm="head"), gated(), defaults={"num_key_value_heads": 32, "head_dim": 128}
    ),
}
