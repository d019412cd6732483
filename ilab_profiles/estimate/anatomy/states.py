"""Layers that carry a state from token to token instead of attending: as their matrices, like kinds of attention."""

from __future__ import annotations

from collections.abc import Callable

from ilab_profiles.estimate.anatomy.attention import Attention
from ilab_profiles.estimate.anatomy.settings import Settings
from ilab_profiles.estimate.anatomy.shapes import Matrix

__all__ = ["CARRYING", "delta", "mamba", "mixed"]

Build = Callable[[Settings, int], Attention]
CARRYING = ("mamba", "linear_attn")
"""What the modules of such layers are called."""


def mixed(carrying: Build, attention: Build, told: str = "") -> Build:
    """Layers of both kinds, as they are listed.

    Args:
        carrying: the one.
        attention: the other.
        told: where they are not listed, the setting that says every how many layers one attends; else none does.
    """

    def build(settings: Settings, index: int) -> Attention:
        attends = bool(told) and (index + 1) % settings.number(told) == 0
        kind = settings.kind(index) or ("attention" if attends else "mamba")
        return (carrying if kind in ("linear_attention", "mamba") else attention)(settings, index)

    return build


def mamba(settings: Settings, index: int) -> Attention:
    """No attention but a state that is carried along (Dao & Gu 2024): a way in, a short convolution, a way out."""
    hidden, heads = settings.number("hidden_size"), settings.number("mamba_n_heads")
    inner = settings.number("mamba_expand") * hidden
    convolved = inner + 2 * settings.number("mamba_n_groups") * settings.number("mamba_d_state")
    bias, window = settings.flag("mamba_proj_bias"), settings.number("mamba_d_conv")
    matrices = (
        Matrix("in_proj", hidden, inner + convolved + heads, bias, inside="mamba"),
        Matrix("out_proj", inner, hidden, bias, inside="mamba"),
    )
    other = convolved * (window + settings.flag("mamba_conv_bias")) + 3 * heads + inner
    return Attention(matrices, heads, heads, inner // heads, other)


def delta(parts: bool) -> Build:
    """The gated delta rule (Yang et al. 2024): ways in for queries, keys, values and gates, and a short convolution.

    Args:
        parts: whether there is a matrix each for these, gates and decays, or two for all.
    """

    def build(settings: Settings, index: int) -> Attention:
        hidden, heads = settings.number("hidden_size"), settings.number("linear_num_value_heads")
        width, keys = settings.number("linear_value_head_dim"), settings.number("linear_num_key_heads")
        value, key = heads * width, keys * settings.number("linear_key_head_dim")
        split = {"qkv": 2 * key + value, "z": value, "b": heads, "a": heads}
        sides = split if parts else {"qkvz": 2 * (key + value), "ba": 2 * heads}
        ways = (Matrix(f"in_proj_{name}", hidden, side, inside="linear_attn") for name, side in sides.items())
        other = (2 * key + value) * settings.number("linear_conv_kernel_dim") + 2 * heads + width
        return Attention((*ways, Matrix("out_proj", value, hidden, inside="linear_attn")), heads, keys, width, other)

    return build
