"""The parts that layers are made of: kinds of attention, of MLPs, and of windows, each as its matrices.

Each kind is a function of the settings and of the layer's number, made from what differs between families: names of
modules, which of them have a bias, where norms stand. Shapes and names are those of transformers' own code.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ilab_profiles.estimate.settings import Settings
from ilab_profiles.estimate.shapes import Matrix

__all__ = ["Attention", "Mlp", "Part", "attention", "gated", "plain"]


class Attention(NamedTuple):
    """A layer's attention."""

    matrices: tuple[Matrix, ...]
    heads: int
    kv_heads: int
    head_dim: int
    other: int = 0


class Mlp(NamedTuple):
    """A layer's MLP, or its experts."""

    matrices: tuple[Matrix, ...]
    inner: int
    gated: bool
    active: int = 1
    other: int = 0


Part = Callable[[Settings, int], int]
Bias = bool | str
"""Whether there is a bias, or the setting that says so."""


def _biased(settings: Settings, bias: Bias) -> bool:
    return settings.flag(bias) if isinstance(bias, str) else bias


def heads(settings: Settings) -> tuple[int, int, int]:
    """Heads, heads of keys and values, and the width of one."""
    number = settings.number("num_attention_heads")
    kv_heads = settings.number("num_key_value_heads", number)
    head_dim = settings.number("head_dim", max(settings.number("hidden_size") // number, 1))
    return number, kv_heads, head_dim


def attention(bias: Bias = False, out_bias: Bias | None = None, norm: str = "") -> Callable[[Settings, int], Attention]:
    """Attention with matrices of their own for queries, keys and values.

    Args:
        bias: of these three.
        out_bias: of the way out; as ``bias`` if not told.
        norm: what queries and keys are normed over: a ``head``, ``all`` heads at once, or nothing.
    """

    def build(settings: Settings, index: int) -> Attention:
        hidden, (number, kv_heads, head_dim) = settings.number("hidden_size"), heads(settings)
        wide, narrow = number * head_dim, kv_heads * head_dim
        inner, outer = _biased(settings, bias), _biased(settings, bias if out_bias is None else out_bias)
        matrices = (
            Matrix("q_proj", hidden, wide, inner, inside="self_attn"),
            Matrix("k_proj", hidden, narrow, inner, inside="self_attn"),
            Matrix("v_proj", hidden, narrow, inner, inside="self_attn"),
            Matrix("o_proj", wide, hidden, outer, inside="self_attn"),
        )
        other = {"head": 2 * head_dim, "all": wide + narrow}.get(norm, 0)
        return Attention(matrices, number, kv_heads, head_dim, other)

    return build


def gated(bias: Bias = False) -> Callable[[Settings, int], Mlp]:
    """An MLP with a gate: two ways up, one down."""

    def build(settings: Settings, index: int) -> Mlp:
        hidden, inner, has = settings.number("hidden_size"), settings.number("intermediate_size"), _biased(settings, bias)
        up = (Matrix(name, hidden, inner, has, inside="mlp") for name in ("gate_proj", "up_proj"))
        return Mlp((*up, Matrix("down_proj", inner, hidden, has, inside="mlp")), inner, True)

    return build


def plain(up: str, down: str, bias: Bias = True, inside: str = "mlp") -> Callable[[Settings, int], Mlp]:
    """An MLP of one way up and one down."""

    def build(settings: Settings, index: int) -> Mlp:
        hidden, inner, has = settings.number("hidden_size"), settings.number("intermediate_size"), _biased(settings, bias)
        return Mlp((Matrix(up, hidden, inner, has, inside=inside), Matrix(down, inner, hidden, has, inside=inside)), inner, False)

    return build
