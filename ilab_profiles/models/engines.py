"""Settings of what ``train`` is built on: DeepSpeed, LoRA, FSDP and torchrun."""

from __future__ import annotations

from typing import Literal

from ilab_profiles.models.fields import Section, StrList, setting

__all__ = ["DeepSpeed", "Fsdp", "Lora", "Torchrun"]


class DeepSpeed(Section):
    """DeepSpeed: ZeRO sharding, offload, and the precision that the base model is kept in."""

    place = "train.deepspeed"

    enabled: bool = setting(False, "Train with DeepSpeed", acts="DeepSpeedPlugin of accelerate", expertise="advanced")
    deepspeed_config: str | None = setting(
        None,
        "DeepSpeed JSON file, used as it is",
        acts="the whole configuration of DeepSpeed",
        expertise="expert",
        path=True,
    )
    zero_stage: int = setting(
        2,
        "ZeRO stage: 1 shards the optimizer, 2 also gradients, 3 also parameters",
        acts="DeepSpeed: zero_optimization.stage",
        expertise="expert",
        ge=0,
        le=3,
    )
    ds_offload_strat: Literal["cpu", "nvme"] | None = setting(
        None,
        "Where to offload: main memory (cpu) or a disk (nvme)",
        acts="DeepSpeed: device of offload_optimizer and offload_param",
        expertise="expert",
        mistaken=["deepspeed_offload", "offload"],
    )
    cpu_offload_optimizer: bool = setting(
        False,
        "Keep the optimizer state in main memory",
        acts="DeepSpeed: zero_optimization.offload_optimizer",
        expertise="expert",
    )
    cpu_offload_params: bool = setting(
        False,
        "Keep the parameters in main memory (ZeRO 3)",
        acts="DeepSpeed: zero_optimization.offload_param",
        expertise="expert",
    )
    nvme_path: str | None = setting(
        None,
        "Folder on a fast disk for nvme offload",
        acts="DeepSpeed: nvme_path of what is offloaded",
        expertise="expert",
        path=True,
    )
    quantize_dtype: Literal["nf4", "fp8"] | None = setting(
        None,
        "Quantize the frozen base model to this type (QLoRA)",
        acts="quantization_config with which the base model is loaded",
        expertise="advanced",
    )


class Lora(Section):
    """LoRA: train small adapters and leave the base model as it is."""

    place = "train.lora"

    enabled: bool = setting(
        False,
        "Train LoRA adapters instead of the whole model",
        acts="which weights are trained: adapters of peft, or all",
    )
    lora_rank: int = setting(
        8, "Rank of each adapter", acts="r of LoraConfig", expertise="advanced", mistaken=["lora_r", "r", "rank"], ge=1
    )
    lora_alpha: float = setting(
        32.0,
        "Scale of the adapters; they are multiplied by alpha / rank",
        acts="lora_alpha of LoraConfig",
        expertise="advanced",
        mistaken=["alpha"],
        gt=0,
    )
    lora_dropout: float = setting(
        0.1,
        "Dropout of the adapters' inputs",
        acts="lora_dropout of LoraConfig",
        expertise="advanced",
        mistaken=["dropout"],
        ge=0,
        lt=1,
    )
    target_modules: StrList | None = setting(
        None,
        "Layers that get adapters; unset: all linear layers except the head",
        acts="target_modules of LoraConfig",
        expertise="expert",
    )


class Fsdp(Section):
    """FSDP: PyTorch's own sharding of parameters, gradients and optimizer state over GPUs."""

    place = "train.fsdp"

    enabled: bool = setting(False, "Train with FSDP", acts="fully_shard of torch, for each layer", expertise="advanced")
    fsdp_cpu_offload: bool = setting(
        False,
        "Keep parameters and optimizer state in main memory",
        acts="fully_shard: offload_policy",
        expertise="expert",
    )
    reshard_after_forward: bool = setting(
        True,
        "Free gathered parameters between forward and backward: less memory, more traffic",
        acts="fully_shard: reshard_after_forward",
        expertise="expert",
    )


class Torchrun(Section):
    """How the worker processes find each other when training spans several machines."""

    place = "train.torchrun"

    nnodes: int = setting(1, "Number of machines", acts="torchrun --nnodes", unit="machines", expertise="expert", ge=1)
    node_rank: int = setting(0, "Number of this machine, from 0", acts="torchrun --node-rank", expertise="expert", ge=0)
    rdzv_id: str | None = setting(
        None, "Name of the job, the same on every machine", acts="torchrun --rdzv-id", expertise="expert"
    )
    rdzv_endpoint: str | None = setting(
        None, "HOST:PORT at which the machines meet", acts="torchrun --rdzv-endpoint", expertise="expert"
    )
    master_addr: str | None = setting(
        None,
        "Address of machine 0, instead of a rendezvous endpoint",
        acts="torchrun --master-addr",
        expertise="expert",
    )
    master_port: int | None = setting(
        None,
        "Port of machine 0, instead of a rendezvous endpoint",
        acts="torchrun --master-port",
        expertise="expert",
        ge=1,
        le=65535,
    )
