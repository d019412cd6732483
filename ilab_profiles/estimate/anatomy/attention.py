"""Kinds of attention, each as the matrices that it is made of.

A kind is a function of the settings and of the layer's number, made from what differs between families: names of
modules, which of them have a bias, where norms stand. Shapes and names are those of transformers' own code.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ilab_profiles.estimate.anatomy.settings import Settings
from ilab_profiles.estimate.anatomy.shapes import Matrix

__all__ = ["Attention", "Bias", "Norm", "compressed", "fused", "own", "same", "separate"]

Bias = bool | str
"""Whether there is a bias, or the setting that says so."""
_INSIDE = "self_attn"


class Attention(NamedTuple):
    """A layer's attention: see :class:`~ilab_profiles.estimate.anatomy.shapes.Layer`."""

    matrices: tuple[Matrix, ...]
    heads: int
    kv_heads: int
    head_dim: int
    other: int = 0


class Norm(NamedTuple):
    """A norm of queries and keys.

    Args:
        each: whether all heads have weights of their own, or share those of one.
        weights: numbers that it learns for each number that it norms.
        when: the setting that says whether it is there; empty if it always is.
    """

    each: bool
    weights: int = 1
    when: str = ""

    def parameters(self, settings: Settings, heads: int, kv_heads: int, head_dim: int) -> int:
        """Parameters of a layer's norms."""
        there = not self.when or settings.flag(self.when)
        return there * self.weights * head_dim * (heads + kv_heads if self.each else 2)


def own(settings: Settings) -> int:
    """Heads of keys and values, as told; as many as of queries if nothing is told."""
    return settings.number("num_key_value_heads", settings.number("num_attention_heads"))


def same(settings: Settings) -> int:
    """As many heads of keys and values as of queries, whatever is told."""
    return settings.number("num_attention_heads")


def separate(
    bias: Bias = False,
    out_bias: Bias | None = None,
    *,
    out: str = "o_proj",
    inside: str = _INSIDE,
    norm: Norm | None = None,
    kv: Callable[[Settings], int] = own,
    sinks: bool = False,
    gate: bool = False,
) -> Callable[[Settings, int], Attention]:
    """Attention with a matrix each for queries, keys and values.

    Args:
        bias: of these three.
        out_bias: of the way out; as ``bias`` if not told.
        out: name of the way out.
        inside: the module that they are in.
        norm: of queries and keys.
        kv: how many heads of keys and values there are.
        sinks: whether each head learns a score for attending to nothing.
        gate: whether the queries come with a gate for what is attended to, as wide as they are.
    """

    def build(settings: Settings, index: int) -> Attention:
        hidden, heads, kv_heads, head_dim = _sizes(settings, kv)
        has, ends = settings.either(bias), settings.either(bias if out_bias is None else out_bias)
        wide, narrow = heads * head_dim, kv_heads * head_dim
        sides = {"q_proj": wide * (1 + gate), "k_proj": narrow, "v_proj": narrow}
        into = (Matrix(name, hidden, side, has, inside=inside) for name, side in sides.items())
        other = norm.parameters(settings, heads, kv_heads, head_dim) if norm else 0
        matrices = (*into, Matrix(out, wide, hidden, ends, inside=inside))
        return Attention(matrices, heads, kv_heads, head_dim, other + heads * sinks)

    return build


def fused(
    name: str, out: str, inside: str, bias: Bias = False, *, kv: Callable[[Settings], int] = same
) -> Callable[[Settings, int], Attention]:
    """Attention with one matrix for queries, keys and values together.

    Args:
        name: of that matrix.
        out: name of the way out.
        inside: the module that they are in.
        bias: of both.
        kv: how many heads of keys and values there are.
    """

    def build(settings: Settings, index: int) -> Attention:
        hidden, heads, kv_heads, head_dim = _sizes(settings, kv)
        has, wide = settings.either(bias), (heads + 2 * kv_heads) * head_dim
        matrices = (
            Matrix(name, hidden, wide, has, inside=inside),
            Matrix(out, heads * head_dim, hidden, has, inside=inside),
        )
        return Attention(matrices, heads, kv_heads, head_dim)

    return build


def compressed(settings: Settings, index: int) -> Attention:
    """Attention through a narrow latent (DeepSeek-AI 2024, section 2.1): ways down and up again, with norms between."""
    hidden, heads = settings.number("hidden_size"), settings.number("num_attention_heads")
    rope, plain = settings.number("qk_rope_head_dim"), settings.number("qk_nope_head_dim")
    value, latent = settings.number("v_head_dim"), settings.number("kv_lora_rank")
    narrow, bias = settings.optional("q_lora_rank"), settings.flag("attention_bias")
    wide = heads * (rope + plain)
    queries = [Matrix("q_proj", hidden, wide, inside=_INSIDE)]
    if narrow:
        down = Matrix("q_a_proj", hidden, narrow, bias, inside=_INSIDE)
        queries = [down, Matrix("q_b_proj", narrow, wide, inside=_INSIDE)]
    matrices = (
        *queries,
        Matrix("kv_a_proj_with_mqa", hidden, latent + rope, bias, inside=_INSIDE),
        Matrix("kv_b_proj", latent, heads * (plain + value), inside=_INSIDE),
        Matrix("o_proj", heads * value, hidden, bias, inside=_INSIDE),
    )
    return Attention(matrices, heads, heads, rope + plain, latent + (narrow or 0))


def _sizes(settings: Settings, kv: Callable[[Settings], int]) -> tuple[int, int, int, int]:
    hidden, heads = settings.number("hidden_size"), settings.number("num_attention_heads")
    even = max(hidden // heads, 1)
    return hidden, heads, kv(settings), settings.number("head_dim", even) if kv is own else even
