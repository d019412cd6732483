"""Attention over packed rows: each token looks back within its own sample, and no score across a border is computed.

It is registered with transformers as the attention ``packed``. Where the samples of a row begin, the model hands on
as ``cu_seq_lens_q``. On a GPU torch's kernel for samples of various lengths does the work; elsewhere, and where the
kernel does not know the shape or type, each sample has its own call of ``scaled_dot_product_attention``.
"""

from __future__ import annotations

from inspect import signature
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

__all__ = ["NAME", "register", "segments"]

NAME = "packed"
_HEAD = 256
"""Widest head that the kernels for various lengths know."""

_kernel: set[int] = set()
"""Numbers of the GPUs on which the kernel for samples of various lengths works."""
_fewer_keys: dict[str, bool] = {}
"""How the kernel is told that queries share keys: torch before 2.12 need not be told, and knows no word for it."""


def register(device: torch.device) -> None:
    """Make the attention known to transformers under :data:`NAME`, for models on a device."""
    import torch
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, attend)
    if device.type == "cuda" and _kernel_works(device):
        _kernel.add(torch.cuda.current_device() if device.index is None else device.index)


def segments(lengths: list[int], device: torch.device) -> dict[str, Any]:
    """What a model is given beside the tokens of a packed row, to tell its samples apart.

    Args:
        lengths: tokens of each sample.
        device: where the row is.

    Returns:
        ``position_ids``, int64 ``[1, tokens]``, from 0 in each sample; ``cu_seq_lens_q`` and ``cu_seq_lens_k``, int32
        ``[samples + 1]``, where each begins; ``max_length_q`` and ``max_length_k``, tokens of the longest.
    """
    import torch

    counts = torch.tensor(lengths)
    begins = torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)])
    positions = torch.arange(int(begins[-1])) - begins[:-1].repeat_interleave(counts)
    borders, longest = begins.to(device, torch.int32), max(lengths)
    return {
        "position_ids": positions[None].to(device),
        "cu_seq_lens_q": borders,
        "cu_seq_lens_k": borders,
        "max_length_q": longest,
        "max_length_k": longest,
    }


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    cu_seq_lens_q: torch.Tensor | None = None,
    max_length_q: int | None = None,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """Causal attention within each sample of a packed row, as transformers asks for it.

    Args:
        module: the layer that asks.
        query: ``[1, heads, tokens, width]``; ``key`` and ``value`` may have fewer heads.
        key: as ``query``.
        value: as ``query``.
        attention_mask: none is made for this attention.
        scaling: factor of the scores; ``None``: one over the root of the width.
        dropout: share of scores to drop.
        sliding_window: number of tokens, itself included, that a token looks at; ``None``: all.
        cu_seq_lens_q: int32 ``[samples + 1]``; ``None`` where every row of the batch is one sample.
        max_length_q: tokens of the longest sample.
        others: what else the model says.

    Returns:
        ``[1, tokens, heads, width]``, and no scores.

    Raises:
        ValueError: if the model asks for attention of another kind.
    """
    if unknown := [name for name in ("softcap", "s_aux", "position_bias", "cache") if others.get(name) is not None]:
        raise ValueError(f"packed samples cannot be kept apart in this model: its attention has {', '.join(unknown)}")
    query, key = query.to(value.dtype), key.to(value.dtype)  # under autocast, turned by their positions, they are fp32
    if cu_seq_lens_q is not None and max_length_q and _has_kernel(query, key, value, dropout):
        out = _by_kernel(query, key, value, scaling, sliding_window, cu_seq_lens_q, max_length_q)
    else:
        begins = [0, query.shape[2]] if cu_seq_lens_q is None else cu_seq_lens_q.tolist()
        out = _by_sample(query, key, value, scaling, dropout, sliding_window, begins)
    return out.contiguous(), None


def _has_kernel(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, dropout: float) -> bool:
    import torch

    return (
        query.is_cuda
        and query.dtype in (torch.bfloat16, torch.float16)
        and query.shape[-1] == key.shape[-1] == value.shape[-1] <= _HEAD
        and not dropout
        and query.device.index in _kernel
    )


def _kernel_works(device: torch.device) -> bool:
    """Whether torch has the kernel, and comes to the same with it as without, on this GPU."""
    import torch

    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return False
    if "enable_gqa" in signature(varlen_attn).parameters:
        _fewer_keys["enable_gqa"] = True
    generator = torch.Generator(device).manual_seed(0)
    query, key, value = torch.randn(3, 1, 4, 96, 64, device=device, dtype=torch.bfloat16, generator=generator)
    key, value = key[:, :2], value[:, :2]
    borders = torch.tensor([0, 40, 41, 96], dtype=torch.int32, device=device)
    try:
        with torch.no_grad():
            for window in (None, 16):
                ours = _by_kernel(query, key, value, 0.125, window, borders, 55)
                expected = _by_sample(query, key, value, 0.125, 0.0, window, borders.tolist())
                if not torch.allclose(ours, expected, atol=2e-2, rtol=2e-2):
                    return False
    except (RuntimeError, TypeError, ValueError):
        return False
    return True


def _by_kernel(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scaling: float | None,
    window: int | None,
    borders: torch.Tensor,
    longest: int,
) -> torch.Tensor:
    from torch.nn.attention.varlen import varlen_attn

    query, key, value = (part[0].transpose(0, 1) for part in (query, key, value))
    window_size = (window - 1 if window else -1, 0)
    out: torch.Tensor = varlen_attn(
        *(query, key, value, borders, borders, longest, longest),
        scale=scaling,
        window_size=window_size,
        **(_fewer_keys if query.shape[1] != key.shape[1] else {}),
    )
    return out[None]


def _by_sample(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scaling: float | None,
    dropout: float,
    window: int | None,
    begins: list[int],
) -> torch.Tensor:
    import torch
    import torch.nn.functional as F

    shared = {"enable_gqa": True} if query.shape[1] != key.shape[1] else {}
    outputs = []
    for begin, end in pairwise(begins):
        part = slice(begin, end)
        mask = _band(end - begin, window, query.device) if window and end - begin > window else None
        outputs.append(
            F.scaled_dot_product_attention(
                *(tensor[:, :, part] for tensor in (query, key, value)),
                attn_mask=mask,
                dropout_p=dropout,
                is_causal=mask is None,
                scale=scaling,
                **shared,
            )
        )
    return torch.cat(outputs, dim=2).transpose(1, 2)


def _band(tokens: int, window: int, device: torch.device) -> torch.Tensor:
    """Bool ``[tokens, tokens]``: whether a token looks at another, that is at itself and the ``window - 1`` before."""
    import torch

    number = torch.arange(tokens, device=device)
    distance = number[:, None] - number[None]
    return (distance >= 0) & (distance < window)
