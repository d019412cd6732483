"""How values of the older ``ilab``'s settings are read today: one small function for each way in which they differ.

Each sees a value and every other value that was in force, and gives the new values or a :class:`Drop`. Which setting
uses which function is told in :mod:`ilab_profiles.migration.table`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = [
    "Convert",
    "Drop",
    "Old",
    "address",
    "backend",
    "built_in_or_folder",
    "device",
    "family",
    "first_gpus",
    "greedy",
    "hub_or_folder",
    "keep",
    "lora_rank",
    "only_under",
    "phase",
    "processes",
    "quantize",
    "text",
    "unless",
    "upper",
    "with_lora",
]

_HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w.-]+")


@dataclass(frozen=True, slots=True)
class Drop:
    """A value that is not carried over.

    Args:
        why: the reason.
        rule: identifier of the finding, if the value was wrong in the old file already.
        hint: what to do about it.
    """

    why: str
    rule: str = ""
    hint: str = ""


Old = Mapping[str, Any]
"""Every value that was in force in the older program, by dotted path."""

Convert = Callable[[Any, Old], tuple[Any, ...] | Drop]
"""From a value, never null, to the values of its new settings. Raises ValueError where the value is none at all."""


# --- any setting ------------------------------------------------------------------------------------------------------


def keep(value: Any, old: Old) -> tuple[Any, ...]:
    """The value as it is."""
    return (value,)


def text(value: Any, old: Old) -> tuple[Any, ...]:
    """The value as text."""
    return (str(value),)


def upper(value: Any, old: Old) -> tuple[Any, ...]:
    """The value in capital letters."""
    return (str(value).upper(),)


def unless(why: str, *nothing: Any) -> Convert:
    """The value as it is, but for those that stood for no choice."""
    return lambda value, old: Drop(why) if value in nothing else (value,)


def built_in_or_folder(value: Any, old: Old) -> tuple[Any, ...]:
    """The name of a built-in pipeline, or the folder of one beside the simplest built-in one."""
    return (value, None) if value in ("simple", "full") else ("simple", value)


def _at_least(least: int, value: Any) -> int:
    """A whole number that is not below ``least``; ValueError for anything else."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"should be a whole number, {least} or more")
    return value


# --- models and servers -----------------------------------------------------------------------------------------------


def hub_or_folder(value: Any, old: Old) -> tuple[Any, ...]:
    """The folder of a model, or no folder and its name on the hub (ORG/NAME)."""
    return (None, value) if isinstance(value, str) and _HUB_NAME.fullmatch(value) else (value,)


def address(server: str) -> Convert:
    """HOST:PORT of a server, from its two settings."""

    def convert(value: Any, old: Old) -> tuple[Any, ...]:
        host, port = old[f"{server}.host"], _at_least(1, old[f"{server}.port"])
        if not isinstance(host, str):
            raise ValueError("should be a host name or address")
        return (f"{host}:{port}",)

    return convert


def family(of: str) -> Convert:
    """The teacher's family, as the settings of one serving backend gave it."""

    def convert(value: Any, old: Old) -> tuple[Any, ...] | Drop:
        chosen = old.get("generate.teacher.backend", of)
        if chosen != of:
            return Drop(f"the teacher was served by {chosen}")
        return (value,) if value else Drop("no family was chosen")

    return convert


def greedy(value: Any, old: Old) -> tuple[Any, ...] | Drop:
    """Whether a temperature of a chat always takes the likeliest word."""
    return (True,) if value == 0 else Drop("a chat has no temperature; chat.greedy_mode takes the place of 0")


# --- GPUs -------------------------------------------------------------------------------------------------------------


def _without_cuda(old: Old) -> bool:
    return bool(old.get("train.device", "cuda") != "cuda")


def _off_gpu(what: str, old: Old) -> Drop:
    hint = "for a machine with CUDA GPUs, set train.device: cuda in the old file before it is migrated"
    return Drop(f"{what}, but train.device was {old['train.device']}", "gpu-setting-on-cpu", hint)


def device(value: Any, old: Old) -> tuple[Any, ...] | Drop:
    """The device, where today's trainer supports it."""
    if value in ("mps", "hpu"):
        hint = "left out: train.device: auto uses CUDA if available, else the CPU"
        return Drop("no longer a device: training runs on CUDA or on the CPU", "unsupported-device", hint)
    return (value,)


def processes(value: Any, old: Old) -> tuple[Any, ...] | Drop:
    """The number of processes, which was a number of GPUs."""
    if _at_least(1, value) > 1 and _without_cuda(old):
        return _off_gpu("one process was started for each GPU", old)
    return (value,)


def first_gpus(value: Any, old: Old) -> tuple[Any, ...] | Drop:
    """A number of GPUs as a selection: the first ones."""
    count = _at_least(0, value)
    if count and _without_cuda(old) and not old.get("metadata.gpu_count"):
        return _off_gpu("it is a number of CUDA GPUs", old)
    return (f"0-{count - 1}" if count > 1 else count - 1,)  # one is GPU 0, and none is written -1


def backend(value: Any, old: Old) -> tuple[Any, ...] | Drop:
    """Whether FSDP is on, and whether DeepSpeed is."""
    if value not in ("fsdp", "deepspeed"):
        raise ValueError("should be 'fsdp' or 'deepspeed'")
    if _without_cuda(old):
        return _off_gpu("it shards a model over GPUs", old)
    return (value == "fsdp", value == "deepspeed")


def only_under(name: str, instead: str) -> Convert:
    """An offload setting of the backend ``name``; ``instead`` is the hint where another one was in force."""

    def convert(value: Any, old: Old) -> tuple[Any, ...] | Drop:
        if value and _without_cuda(old):
            return _off_gpu("it frees GPU memory", old)
        used = old.get("train.distributed_backend")
        if value and used != name:
            return Drop(f"it did nothing: the distributed backend in force was {used}", "dead-offload", instead)
        return (value,)

    return convert


def phase(value: Any, old: Old) -> tuple[Any, ...] | Drop:
    """A setting of a phase, where training in phases could run."""
    if _without_cuda(old):
        return Drop(f"training in phases needed GPUs, but train.device was {old['train.device']}")
    return (value,)


# --- LoRA -------------------------------------------------------------------------------------------------------------


def lora_rank(value: Any, old: Old) -> tuple[Any, ...]:
    """Whether LoRA is on, and its rank."""
    return (True, value) if _at_least(0, value) else (False,)


def with_lora(value: Any, old: Old) -> tuple[Any, ...] | Drop:
    """The value, where LoRA was on."""
    return (value,) if old.get("train.lora_rank") else Drop("LoRA was off (lora_rank: 0)")


def quantize(value: Any, old: Old) -> tuple[Any, ...] | Drop:
    """The type to quantize to, where LoRA was on."""
    if old.get("train.lora_rank"):
        return (value,)
    why = "it did nothing: LoRA was off (lora_rank: 0), and only LoRA trains on a quantized model"
    return Drop(why, "quantize-needs-lora", "for QLoRA, set train.lora.enabled: true beside it")
