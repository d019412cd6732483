"""Whether what a model computed for the beginning of a text may serve all that go on from there, and on how many GPUs.

That is so where every layer attends to every earlier token and keeps nothing else. Others are asked in lm-eval's own
way: those with a sliding window or a state, encoder-decoders, and those whose code is not transformers' own. What a
model says of itself is not trusted alone: ``lm`` compares both ways on a few requests.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from transformers.cache_utils import DynamicCache, DynamicLayer

__all__ = ["fits_one_gpu", "layers_of", "replicas", "why_not"]

_ROOM = 0.7
"""Share of a GPU's memory that weights may take, so that there is room to compute."""


def why_not(model: Any, backend: str) -> str:
    """Why a model's keys and values cannot be shared, in a few words; empty if nothing speaks against it.

    Args:
        model: the model, with its adapter if it has one.
        backend: what lm-eval takes it for, ``causal`` or ``seq2seq``.
    """
    if backend != "causal":
        return "it is an encoder-decoder"
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    if not type(inner).__module__.startswith("transformers.models."):
        return "it comes with code of its own"
    if any(config.is_prompt_learning for config in getattr(model, "peft_config", {}).values()):
        return "its adapter puts tokens of its own before the text"
    if getattr(inner, "_is_stateful", False):
        return "it keeps a state instead of keys and values"
    kinds = {type(layer) for layer in DynamicCache(config=inner.config).layers}
    if any(kind.is_sliding for kind in kinds if issubclass(kind, DynamicLayer)):
        return "it has a sliding window"
    if kinds != {DynamicLayer}:
        return "not all of its layers keep keys and values of their own"
    if inner.get_output_embeddings() is None:
        return "its head is not to be found"
    return ""


def layers_of(model: Any) -> int:
    """How many layers keep keys and values."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    return len(DynamicCache(config=inner.config).layers)


def fits_one_gpu(base: str, *, trust_remote_code: bool) -> bool:
    """Whether the weights of a language model fit the smallest GPU with room to spare; loads its configuration only.

    Where the configuration does not tell, it is said not to fit: a model may always be split.
    """
    from accelerate import init_empty_weights
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        config = AutoConfig.from_pretrained(base, trust_remote_code=trust_remote_code)
        with init_empty_weights():
            model = AutoModelForCausalLM.from_config(config, trust_remote_code=trust_remote_code)
    except (ValueError, LookupError, OSError, RuntimeError, NotImplementedError):
        return False
    size = sum(weights.numel() for weights in model.parameters()) * (config.dtype or torch.float32).itemsize
    memory = min(torch.cuda.get_device_properties(i).total_memory for i in range(torch.cuda.device_count()))
    return bool(size < _ROOM * memory)


def replicas(model: Any, devices: list[torch.device]) -> list[Any]:
    """The model on each device: itself on the first, which is where it is, and copies on the others.

    A quantized model, which cannot be copied, stays alone.
    """
    if getattr(model, "is_quantized", False):
        return [model]
    return [model, *(copy.deepcopy(model).to(device) for device in devices[1:])]
