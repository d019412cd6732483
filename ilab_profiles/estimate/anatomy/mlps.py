"""Kinds of MLPs, each as the matrices that it is made of: with a gate, plain, or experts of which a token takes some.

Kinds are made as in :mod:`~ilab_profiles.estimate.anatomy.attention`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ilab_profiles.estimate.anatomy.attention import Bias
from ilab_profiles.estimate.anatomy.settings import Settings
from ilab_profiles.estimate.anatomy.shapes import Matrix

__all__ = ["Mlp", "Shared", "after", "experts", "gated", "listed", "packed", "plain", "stepped"]


class Mlp(NamedTuple):
    """A layer's MLP: see :class:`~ilab_profiles.estimate.anatomy.shapes.Layer`."""

    matrices: tuple[Matrix, ...]
    inner: int
    gated: bool
    active: int = 1
    other: int = 0


class Shared(NamedTuple):
    """An MLP that each token goes through, beside its experts.

    Args:
        inside: its module, as named within the layer.
        width: the setting that tells its width.
        times: the setting that tells how many of that width stand side by side; empty for one.
        gate: name of a matrix that weighs it; empty if there is none.
        packed: whether its gate and its way up are one matrix.
    """

    inside: str
    width: str
    times: str = ""
    gate: str = ""
    packed: bool = False


Build = Callable[[Settings, int], Mlp]
_INSIDE = "mlp"


def gated(bias: Bias = False, width: str = "intermediate_size", inside: str = _INSIDE) -> Build:
    """A gate, a way up and one down."""

    def build(settings: Settings, index: int) -> Mlp:
        inner = settings.number(width)
        return Mlp(_gated(settings, inner, settings.either(bias), inside), inner, True)

    return build


def packed(inside: str = _INSIDE) -> Build:
    """A gate and a way up in one matrix, and a way down."""

    def build(settings: Settings, index: int) -> Mlp:
        inner = settings.number("intermediate_size")
        return Mlp(_packed(settings, inner, inside, "gate_up_proj", "down_proj"), inner, True)

    return build


def plain(up: str, down: str, bias: Bias = False, *, inside: str = _INSIDE, other: int = 0) -> Build:
    """A way up and one down; where its width is not told, it is four times that of the model.

    Args:
        up: name of the one.
        down: name of the other.
        bias: of both.
        inside: the module that they are in.
        other: parameters of the activation between them.
    """

    def build(settings: Settings, index: int) -> Mlp:
        hidden = settings.number("hidden_size")
        inner, has = settings.number("intermediate_size", 4 * hidden), settings.either(bias)
        matrices = (Matrix(up, hidden, inner, has, inside=inside), Matrix(down, inner, hidden, has, inside=inside))
        return Mlp(matrices, inner, False, other=other)

    return build


def experts(
    router: str,
    width: str = "intermediate_size",
    *,
    inside: str = _INSIDE,
    bias: bool = False,
    shared: Shared | None = None,
    linear_router: bool = False,
    all_run: bool = False,
) -> Build:
    """Experts with gates, stacked in two tensors, and a router that chooses some for each token.

    Args:
        router: its name.
        width: the setting that tells how wide one expert is.
        inside: the module that they are in.
        bias: of the router and of the experts.
        shared: an MLP beside them.
        linear_router: whether the router is a linear layer.
        all_run: whether all experts run for each token, the others for nothing.
    """

    def build(settings: Settings, index: int) -> Mlp:
        hidden, inner = settings.number("hidden_size"), settings.number(width)
        count = settings.number("num_experts")
        active = count if all_run else min(settings.number("num_experts_per_tok", 1), count)
        stack = f"{inside}.experts"
        beside, more = _shared(settings, shared, inside)
        matrices = (
            Matrix(router, hidden, count, bias, linear=linear_router, inside=inside),
            Matrix("gate_up_proj", hidden, 2 * inner, bias, count, linear=False, inside=stack),
            Matrix("down_proj", inner, hidden, bias, count, linear=False, inside=stack),
            *beside,
        )
        return Mlp(matrices, active * inner + more, True, active)

    return build


def after(dense: Build, sparse: Build) -> Build:
    """Some dense layers first, as ``first_k_dense_replace`` says, then experts."""
    return lambda settings, index: (sparse if index >= settings.number("first_k_dense_replace", 0, least=0) else dense)(
        settings, index
    )


def stepped(dense: Build, sparse: Build) -> Build:
    """Experts in each ``decoder_sparse_step``-th layer, but for those in ``mlp_only_layers``."""

    def build(settings: Settings, index: int) -> Mlp:
        there = settings.number("num_experts", 0, least=0) > 0 and index not in (
            settings.numbers("mlp_only_layers") or []
        )
        chosen = there and (index + 1) % settings.number("decoder_sparse_step", 1) == 0
        return (sparse if chosen else dense)(settings, index)

    return build


def listed(dense: Build, sparse: Build) -> Build:
    """Experts in the layers that ``moe_layers`` lists, else in each ``interleave_moe_layer_step``-th."""

    def build(settings: Settings, index: int) -> Mlp:
        named, step = settings.numbers("moe_layers"), settings.number("interleave_moe_layer_step", 1)
        chosen = index in named if named is not None else (index + 1) % step == 0
        return (sparse if chosen else dense)(settings, index)

    return build


def optional_experts(sparse: Build, shared: Shared) -> Build:
    """Experts where there are any, and the shared MLP in any case."""

    def build(settings: Settings, index: int) -> Mlp:
        if settings.number("num_experts", 0, least=0):
            return sparse(settings, index)
        matrices, inner = _shared(settings, shared, "")
        return Mlp(matrices, inner, True)

    return build


def _shared(settings: Settings, shared: Shared | None, inside: str) -> tuple[tuple[Matrix, ...], int]:
    """The MLP beside the experts, and its width; nothing, where there is none."""
    if shared is None:
        return (), 0
    times = settings.number(shared.times) if shared.times else 1
    inner = times * settings.number(shared.width, 0, least=0)
    if not inner:
        return (), 0
    if shared.packed:
        return _packed(settings, inner, shared.inside, "input_linear", "output_linear"), inner
    hidden, within = settings.number("hidden_size"), f"{inside}.{shared.inside}"
    gate = (Matrix(shared.gate, hidden, 1, inside=inside),) if shared.gate else ()
    return (*_gated(settings, inner, False, within), *gate), inner


def _gated(settings: Settings, inner: int, bias: bool, inside: str) -> tuple[Matrix, ...]:
    hidden = settings.number("hidden_size")
    ups = (Matrix(name, hidden, inner, bias, inside=inside) for name in ("gate_proj", "up_proj"))
    return (*ups, Matrix("down_proj", inner, hidden, bias, inside=inside))


def _packed(settings: Settings, inner: int, inside: str, up: str, down: str) -> tuple[Matrix, ...]:
    hidden = settings.number("hidden_size")
    return Matrix(up, hidden, 2 * inner, inside=inside), Matrix(down, inner, hidden, inside=inside)
