"""How far back a layer looks: a number of tokens, or to the first one. Kinds of windows, by family."""

from __future__ import annotations

from collections.abc import Callable

from ilab_profiles.estimate.anatomy.settings import Settings

__all__ = ["Window", "chunks", "every", "late", "listed_ones", "near", "none", "swa", "switched"]

Window = Callable[[Settings, int], int | None]
"""How many tokens the layer of this number looks back at most; ``None`` if it sees all."""


def none(settings: Settings, index: int) -> int | None:
    """No window."""
    return None


def swa(settings: Settings, index: int) -> int | None:
    """The same window in each layer, where there is one."""
    return settings.number("sliding_window", 0, least=0) or None


def every(number: int, told: str = "", *, first: bool = False) -> Window:
    """A window in each layer but every so many, or as the kinds of layers are listed.

    Args:
        number: how many.
        told: the setting that says how many, if there is one.
        first: whether the layer without a window is the first of so many; else it is the last.
    """

    def window(settings: Settings, index: int) -> int | None:
        apart = settings.number(told, number) if told else number
        kind = settings.kind(index) or ("full_attention" if (index + (not first)) % apart == 0 else "")
        return None if kind == "full_attention" else swa(settings, index)

    return window


def late(settings: Settings, index: int) -> int | None:
    """Qwen2: a window from the layer ``max_window_layers`` on, if it is switched on."""
    if not settings.flag("use_sliding_window"):
        return None
    kind = settings.kind(index)
    late = kind == "sliding_attention" if kind else index >= settings.number("max_window_layers", least=0)
    return swa(settings, index) if late else None


def switched(settings: Settings, index: int) -> int | None:
    """A window in each layer, if it is switched on."""
    return swa(settings, index) if settings.flag("use_sliding_window") else None


def listed_ones(settings: Settings, index: int) -> int | None:
    """A window in the layers that are listed with one."""
    return swa(settings, index) if settings.kind(index) == "sliding_attention" else None


def chunks(settings: Settings, index: int) -> int | None:
    """Llama 4: tokens see those of their chunk, except in every fourth layer."""
    kind = settings.kind(index) or (
        "full_attention" if (index + 1) % settings.number("no_rope_layer_interval", 4) == 0 else "chunked_attention"
    )
    return settings.optional("attention_chunk_size") if kind == "chunked_attention" else None


def near(settings: Settings, index: int) -> int | None:
    """GPT-Neo: each second layer looks at what is near."""
    kind = settings.kind(index) or ("local" if index % 2 else "global")
    return settings.number("window_size") if kind == "local" else None
