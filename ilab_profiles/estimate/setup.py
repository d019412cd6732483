"""How a process of a training holds its numbers, as far as memory goes: what the settings come to, engine by engine.

A :class:`Setup` says nothing of the model. Its defaults are those of a plain training in fp32 on one device, so that
engines other than ours can be described too, by what they do differently.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ilab_profiles.models.train import Train
from ilab_profiles.zero import configuration

__all__ = ["FP32", "Setup", "kept", "setup_of", "states"]

FP32 = 4
_HALF = 2
_NF4 = 0.5 + 1 / 64 + 4 / (64 * 256)
"""Bytes of a weight in nf4: four bits, a scale of 8 bits for each 64 weights, and of fp32 for each 256 scales (double
quantization, Dettmers et al. 2023, section 3)."""
_FP8 = 1.0
_STATES = {"adamw": 8, "adamw_fused": 8, "adamw_8bit": 2 + 8 / 256, "adafactor": 0.1, "muon": 4}
"""Bytes of state for a trained weight. AdamW: two running means in fp32 (Kingma & Ba 2015, algorithm 1), or in 8 bits
with a scale each for 256 of them (Dettmers et al. 2022); Adafactor: sums of rows and columns (Shazeer & Stern 2018);
Muon: one mean (Jordan et al. 2024), but AdamW's for embeddings and head."""
_BUCKET = 500_000_000
"""Numbers in the buffer through which DeepSpeed sends gradients (``reduce_bucket_size``)."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What a process does with the numbers of a training. Sizes are bytes for each number.

    Attributes:
        processes: over how many what is shared out is shared.
        cuda: whether it runs on a GPU.
        trained: a trained weight as it is kept.
        working: a copy of all trained weights to compute with, beside the kept one; 0 if there is none.
        base: a weight of a linear layer that is not trained.
        other: any other weight that is not trained.
        arithmetic: a number in a product of matrices.
        stream: a number of what goes from layer to layer.
        autocast: whether weights are cast for each product, and what goes into it.
        compiled: whether layers are compiled, which makes what is cheap anew in the backward pass.
        gradient: a gradient.
        gradients_stay: whether gradients are there during the forward pass: in buckets, or of earlier microbatches.
        state: state of the optimizer, for a trained weight; ``end_state`` for one of embeddings or head.
        end_state: see ``state``.
        step: what the step of the optimizer takes beside it, for a trained weight that this process updates.
        largest: what it takes for a number of the largest matrix.
        weights_shared: whether weights are shared out; then a layer is gathered when it is its turn.
        gradients_shared: whether gradients are.
        state_shared: whether the kept weights (of a ``working`` copy) and the state are.
        gathered: a number of a layer that is gathered.
        gathered_layers: how many layers are gathered at a time.
        gathered_ahead: how many are while the head is at work.
        reduced: a number of a layer whose gradients travel.
        live: numbers that stay gathered beyond the layer at work, at most.
        buffers: bytes of buffers of a fixed size.
        rank: of adapters; 0 if the whole model is trained.
        targets: layers that get adapters, by the end of their name; ``None``: all linear layers but the head.
        dropout: whether inputs of adapters are dropped at random.
        inputs_cast: whether each adapter keeps its input in the type of its weights, as peft does by itself.
        recompute: whether a layer's activations are made anew in the backward pass.
        pieces: whether the head is run in pieces, so that only the logits of one exist at a time.
        logit: bytes of a logit when most is held: as computed, in fp32, its softmax, and its gradient.
        kernel: whether one kernel does the attention of all samples of a microbatch.
        tokens: of a microbatch.
        filled: the least share of those tokens that the largest microbatch may have.
        state_offloaded: whether the state (and kept weights beside a working copy) is in main memory.
        weights_offloaded: whether weights are.
        activations_offloaded: whether activations are.
        slack: the share of what is held that the allocator cannot use.
    """

    tokens: int
    filled: float = 1
    processes: int = 1
    cuda: bool = True
    trained: float = FP32
    working: float = 0
    base: float = FP32
    other: float = FP32
    arithmetic: int = FP32
    stream: int = FP32
    autocast: bool = False
    compiled: bool = False
    gradient: float = FP32
    gradients_stay: bool = False
    state: float = 8
    end_state: float = 8
    step: float = 0
    largest: float = 0
    weights_shared: bool = False
    gradients_shared: bool = False
    state_shared: bool = False
    gathered: float = 0
    gathered_layers: int = 2
    gathered_ahead: int = 0
    reduced: float = 0
    live: int = 0
    buffers: int = 0
    rank: int = 0
    targets: tuple[str, ...] | None = None
    dropout: bool = False
    inputs_cast: bool = False
    recompute: bool = False
    pieces: bool = True
    logit: float = 3 * FP32
    kernel: bool = True
    state_offloaded: bool = False
    weights_offloaded: bool = False
    activations_offloaded: bool = False
    slack: float = 0.04


def setup_of(train: Train, *, cuda: bool) -> Setup:
    """What a process of a training, or of one of its phases, does.

    Args:
        train: the settings, without phases.
        cuda: whether it runs on GPUs.

    Raises:
        InputError: if ``deepspeed_config`` cannot be read.
    """
    samples = math.ceil(train.effective_batch_size / train.world_size)
    tokens = min(train.max_batch_len, samples * train.max_seq_len)
    plain: dict[str, Any] = {
        **_types(train),
        **_optimizer(train, cuda),
        "tokens": tokens,
        "filled": 0.8 if samples * train.max_seq_len > tokens else 0.1,
        "processes": train.world_size,
        "cuda": cuda,
        "gradients_stay": samples * train.max_seq_len > tokens or train.world_size > 1,
        "recompute": train.gradient_checkpointing,
        "activations_offloaded": train.offload_activations,
        "kernel": cuda and _computed(train) < FP32,
        "compiled": train.compile,
    }
    if train.lora.enabled:
        plain |= {
            "rank": train.lora.lora_rank,
            "targets": train.lora.target_modules,
            "dropout": train.lora.lora_dropout > 0,
        }
    if train.deepspeed.enabled:
        plain |= _deepspeed(train)
    elif train.fsdp.enabled:
        plain |= _fsdp(train)
    return Setup(**plain)


def kept(train: Train) -> int:
    """Bytes of a trained weight as the settings keep it."""
    return FP32 if train.master_weights == "fp32" else _HALF


def _computed(train: Train) -> int:
    """Bytes of a number in the arithmetic."""
    return FP32 if train.precision == "fp32" else _HALF


def _types(train: Train) -> dict[str, Any]:
    """In what weights are kept, and what is computed in."""
    compute = _computed(train)
    quantized = {"nf4": _NF4, "fp8": _FP8, None: compute}[train.deepspeed.quantize_dtype]
    return {
        "trained": kept(train),
        "gradient": kept(train),
        "base": quantized,
        "other": compute,
        "arithmetic": compute,
        "stream": compute if train.lora.enabled else kept(train),
        "autocast": compute < FP32,
    }


def states(train: Train) -> tuple[float, float]:
    """Bytes of the optimizer's state for a trained weight, and for one of embeddings or head."""
    if train.master_weights == "bf16":
        return 2 * _HALF, 2 * _HALF
    state = _STATES[train.optimizer]
    return state, _STATES["adamw"] if train.optimizer == "muon" else state


def _optimizer(train: Train, cuda: bool) -> dict[str, Any]:
    """What the optimizer keeps, and needs for a step: torch's AdamW takes a copy of all weights at once on a GPU."""
    state, end_state = states(train)
    if train.master_weights == "bf16":
        return {"state": state, "end_state": end_state, "largest": 24}
    many = train.optimizer == "adamw" and cuda
    return {
        "state": state,
        "end_state": end_state,
        "step": FP32 if many else 0,
        "largest": 0 if many or train.optimizer in ("adamw_fused", "adamw_8bit") else 3 * FP32,
    }


def _deepspeed(train: Train) -> dict[str, Any]:
    """DeepSpeed keeps a working copy in the type of the arithmetic, and in fp32 what it updates (Rajbhandari 2020)."""
    config = configuration(train)
    zero = config["zero_optimization"]
    stage, compute = int(zero.get("stage", 0)), _computed(train)
    optimizer, weights = zero.get("offload_optimizer") or {}, zero.get("offload_param") or {}
    bucket = int(_number(zero.get("reduce_bucket_size"), _BUCKET))
    return {
        "working": compute,
        "trained": FP32,
        "gradient": compute,
        "gradients_stay": True,
        "stream": compute,
        "autocast": False,
        "state_shared": stage >= 1,
        "gradients_shared": stage >= 2,
        "weights_shared": stage >= 3,
        "step": FP32 if optimizer else 2 * FP32,
        "gathered": compute if stage >= 3 else 0,
        "live": int(_number(zero.get("stage3_max_live_parameters"), 10**9)) if stage >= 3 else 0,
        "buffers": bucket * (compute if stage >= 2 else FP32) if stage else 0,
        "state_offloaded": _away(optimizer),
        "weights_offloaded": _away(weights),
    }


def _away(target: dict[str, Any]) -> bool:
    return bool(target.get("device", "none") != "none")


def _number(value: object, default: int) -> float:
    return float(value) if isinstance(value, (int, float)) else default


def _fsdp(train: Train) -> dict[str, Any]:
    """FSDP keeps parts in the type of the weights, gathers layers in that of the arithmetic, adds gradients in fp32."""
    compute = _computed(train)
    return {
        "weights_shared": True,
        "gradients_shared": True,
        "state_shared": True,
        "stream": compute,
        "autocast": False,
        "gathered": compute,
        "reduced": compute + FP32,
        "state_offloaded": train.fsdp.fsdp_cpu_offload,
        "weights_offloaded": train.fsdp.fsdp_cpu_offload,
    }
