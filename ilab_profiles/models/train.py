"""Settings of ``ilab model train``: what is trained, on what, how fast, and on which hardware."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from ilab_profiles.models.fields import (
    GpuSelection,
    MayBe,
    Packing,
    Section,
    StrList,
    as_tuple,
    section,
    setting,
    split_names,
)

__all__ = ["DeepSpeed", "Fsdp", "Lora", "Phase", "Torchrun", "Train", "phase_name"]


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


_NAME = r"^[^/\\.\x00-\x1f][^/\\\x00-\x1f]{0,99}$"
_RUN_USES = ("checkpoints", "evaluation", "handovers.jsonl", "metrics.jsonl", "model", "run.yaml", "train.log")
"""What is in the folder of a run already."""


def _phase_name(name: str | None) -> str | None:
    if name in _RUN_USES:
        raise PydanticCustomError("phase_name", "must not be a name that the folder of the run uses itself")
    if name is not None and not re.fullmatch(_NAME, name):
        raise PydanticCustomError("phase_name", "must be the name of a folder, of at most 100 characters")
    return name


PhaseName = Annotated[
    str | None,
    AfterValidator(_phase_name),
    WithJsonSchema(
        {"anyOf": [{"type": "string", "pattern": _NAME, "not": {"enum": list(_RUN_USES)}}, {"type": "null"}]}
    ),
    MayBe(f"a name without slashes and without a dot in front, none of {', '.join(_RUN_USES)}"),
]
"""Name of a phase, and of its folder in that of the run."""


def phase_name(given: str | None, number: int) -> str:
    """The name of a phase: its own, else one by its number, counted from 0. Its folder is called so."""
    return given or f"phase{number:02d}"


class Phase(Section):
    """One phase of a training in several phases; what it leaves unset is taken from ``train``."""

    name: PhaseName = setting(
        None, "Name of the phase's folder; unset: phase00, phase01, …", acts="the folder of the phase"
    )
    data_path: str | None = setting(None, "Data of this phase", acts="the samples of the phase", path=True)
    num_epochs: int | None = setting(
        None, "Passes over this phase's data", acts="the number of steps of the phase", unit="epochs", ge=1
    )
    effective_batch_size: int | None = setting(
        None, "Samples in one optimizer step", acts="the samples of each step of the phase", unit="samples", ge=1
    )
    learning_rate: float | None = setting(
        None, "Peak learning rate of this phase", acts="the learning rate of each step of the phase", gt=0
    )
    warmup_steps: int | None = setting(
        None,
        "Steps over which the learning rate rises",
        acts="the learning rate of the first steps of the phase",
        unit="steps",
        ge=0,
    )
    save_samples: int | None = setting(
        None,
        "Samples between checkpoints; 0 saves only at the end",
        acts="the steps of the phase that end with a checkpoint",
        unit="samples",
        ge=0,
    )

    @property
    def own(self) -> dict[str, Any]:
        """The settings of a training that the phase has a value of its own for, by name."""
        return {name: value for name, value in self if value is not None and name != "name"}


Tracker = Literal["tensorboard", "wandb", "mlflow"]
_ONE = f"({'|'.join(get_args(Tracker))})"
Trackers = Annotated[
    tuple[Tracker, ...],
    BeforeValidator(split_names),
    PlainSerializer(list),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "array", "items": {"enum": list(get_args(Tracker))}},
                {"type": "string", "pattern": f"^[\\s,]*({_ONE}\\s*(,[\\s,]*{_ONE}\\s*)*[,\\s]*)?$"},
            ]
        }
    ),
]
"""Names of trackers; one name, or several with commas between them, may stand for the list."""


_ACCELERATORS = ("deepspeed", "fsdp")


def _switched(part: Any, on: bool) -> Any:
    """A section, made already or as data, switched on or off unless it says which."""
    if isinstance(part, Section):
        return part if "enabled" in part.model_fields_set else part.model_copy(update={"enabled": on})
    return {"enabled": on, **part} if isinstance(part, Mapping) else part


class Train(Section):
    """Every setting of a training run."""

    place = "train"

    model_path: str | None = setting(
        None,
        "Folder of the model to start from",
        acts="which model and tokenizer are loaded",
        aliases=["model_dir"],
        mistaken=["model", "model_name_or_path", "base_model"],
        path=True,
    )
    model_repo: str = setting(
        "instructlab/granite-7b-lab",
        "Hub name (ORG/NAME) of the model to start from if no folder is given",
        acts="which model and tokenizer are loaded",
        pattern=r"^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+$",
    )
    data_path: str = setting(
        "generated/mixed",
        "JSONL file of conversations (messages, ShareGPT or Alpaca), or a folder of such files",
        acts="the samples",
        aliases=["data_dir"],
        mistaken=["data", "dataset", "dataset_path", "train_file"],
        path=True,
        min_length=1,
    )
    valid_path: str | None = setting(
        None,
        "Data for the validation loss, as data_path; unset: test_*.jsonl beside the training data",
        acts="the samples of the validation loss",
        mistaken=["validation_path", "eval_path", "valid_data", "validation_data", "eval_dataset"],
        expertise="advanced",
        path=True,
        min_length=1,
        affects_result=False,
    )
    output_dir: str = setting(
        "runs/train",
        "Folder of the run: metrics, checkpoints and the trained model",
        acts="where everything is written",
        path=True,
        min_length=1,
        affects_result=False,
    )
    device: Literal["auto", "cpu", "cuda"] = setting(
        "auto",
        "Hardware to train on; auto uses CUDA if available",
        acts="CUDA_VISIBLE_DEVICES of the workers, and the device of accelerate",
        affects_result=False,
    )
    gpus: GpuSelection = setting(
        None,
        "GPUs to train on: 0-3, 0:3, 1,3, or -1 for none",
        acts="CUDA_VISIBLE_DEVICES of the workers",
        affects_result=False,
    )
    num_gpus: int | None = setting(
        None,
        "Number of processes: one per GPU, or this many on the CPU",
        acts="torchrun --nproc-per-node",
        unit="processes",
        ge=1,
        affects_result=False,
    )
    oversubscribe: bool = setting(
        False,
        "Allow more processes than cores on the CPU",
        acts="the check before the start",
        expertise="expert",
        affects_result=False,
    )
    num_epochs: int = setting(
        1,
        "Passes over the training data",
        acts="the number of steps",
        unit="epochs",
        aliases=["epochs"],
        mistaken=["epoch", "n_epochs", "num_train_epochs"],
        ge=1,
    )
    effective_batch_size: int = setting(
        64,
        "Samples in one optimizer step, over all processes and accumulation",
        acts="the samples of each step",
        unit="samples",
        mistaken=["batch_size", "global_batch_size", "train_batch_size", "per_device_train_batch_size"],
        ge=1,
    )
    learning_rate: float = setting(
        2e-5, "Peak learning rate", acts="the learning rate of each step", gt=0, mistaken=["lr"]
    )
    warmup_steps: int = setting(
        25,
        "Steps over which the learning rate rises from zero",
        acts="the learning rate of the first steps",
        unit="steps",
        expertise="advanced",
        mistaken=["warmup", "num_warmup_steps"],
        ge=0,
    )
    lr_schedule: Literal["constant", "linear", "cosine"] = setting(
        "cosine",
        "Learning rate schedule after the warm-up",
        acts="the learning rate of the later steps",
        expertise="advanced",
        mistaken=["lr_scheduler", "lr_scheduler_type", "scheduler"],
    )
    weight_decay: float = setting(
        0.0, "Decoupled weight decay", acts="weight_decay of the optimizer", expertise="expert", ge=0
    )
    max_grad_norm: float = setting(
        1.0,
        "Largest norm of the gradients; larger ones are scaled down",
        acts="the gradient of each step",
        expertise="expert",
        mistaken=["clip_grad", "gradient_clipping", "grad_clip"],
        gt=0,
    )
    max_seq_len: int = setting(
        4096,
        "Longest conversation; what happens to longer ones, too_long says",
        acts="which conversations become samples",
        unit="tokens",
        mistaken=["max_length", "max_seq_length", "seq_len", "cutoff_len"],
        ge=1,
    )
    too_long: Literal["drop", "truncate"] = setting(
        "drop",
        "Conversations longer than max_seq_len: drop leaves them out, truncate keeps their beginning",
        acts="which conversations become samples",
        expertise="advanced",
        mistaken=["truncation", "overlong", "sample_too_long"],
    )
    max_batch_len: int = setting(
        5000,
        "Most tokens in one microbatch of one process, padding included",
        acts="the microbatches of each step",
        unit="tokens",
        expertise="advanced",
        ge=1,
        affects_result=False,
    )
    save_samples: int = setting(
        1000,
        "Samples between checkpoints; 0 saves only at the end",
        acts="the steps that end with a checkpoint",
        unit="samples",
        mistaken=["save_steps", "save_every"],
        expertise="advanced",
        ge=0,
        affects_result=False,
    )
    validate_samples: int | None = setting(
        None,
        "Samples between validations, besides one at each checkpoint; 0 switches validation off",
        acts="the steps that end with a validation",
        unit="samples",
        mistaken=["eval_steps", "eval_samples", "validate_steps"],
        expertise="advanced",
        ge=0,
        affects_result=False,
    )
    keep_checkpoints: int | None = setting(
        None,
        "Checkpoints to keep, the newest ones, and the one with the lowest validation loss; unset: all",
        acts="the folders that stay in checkpoints",
        unit="checkpoints",
        expertise="advanced",
        mistaken=["save_total_limit"],
        ge=1,
        affects_result=False,
    )
    max_hours: float | None = setting(
        None,
        "Hours after which this start saves a checkpoint and ends; the same command goes on",
        acts="when the workers are asked to stop",
        unit="hours",
        expertise="advanced",
        mistaken=["max_time", "time_limit", "deadline"],
        gt=0,
        affects_result=False,
    )
    resume: bool = setting(
        True,
        "Resume from the last checkpoint of the same run",
        acts="the check before the start",
        expertise="advanced",
        affects_result=False,
    )
    trackers: Trackers = setting(
        (),
        "Where to send metrics too, beside metrics.jsonl",
        acts="log_with of accelerate",
        mistaken=["report_to", "log_with"],
        expertise="advanced",
        affects_result=False,
    )
    seed: int = setting(
        42,
        "Seed of data order, dropout and new weights",
        acts="the order of the samples, and all that is drawn at random",
        expertise="advanced",
        ge=0,
        lt=2**32,
    )
    precision: Literal["fp32", "bf16", "fp16"] = setting(
        "fp32",
        "Precision of the arithmetic, and of a base that is not trained",
        acts="the type in which layers multiply, and of a base model that is not trained",
        expertise="advanced",
        mistaken=["bf16", "fp16", "fp32", "dtype", "mixed_precision", "torch_dtype"],
    )
    master_weights: Literal["fp32", "bf16"] = setting(
        "fp32",
        "Precision that trained weights are kept in; bf16 takes half the memory and rounds at random",
        acts="the type of the trained weights",
        expertise="expert",
    )
    optimizer: Literal["adamw", "adamw_fused", "adamw_8bit", "adafactor", "muon"] = setting(
        "adamw",
        "Optimizer; adamw_8bit and adafactor keep less state, muon takes larger steps on matrices",
        acts="the class of the optimizer",
        expertise="expert",
        mistaken=["optim"],
    )
    gradient_checkpointing: bool = setting(
        False,
        "Recompute activations in the backward pass: less memory, about a third more work",
        acts="what the layers keep for the backward pass",
        mistaken=["activation_checkpointing"],
        expertise="advanced",
    )
    offload_activations: bool = setting(
        False,
        "Keep activations in main memory between forward and backward: less GPU memory, more traffic",
        acts="where it is kept what the layers keep for the backward pass",
        mistaken=["activation_offloading"],
        expertise="expert",
        affects_result=False,
    )
    compile: bool = setting(
        False,
        "Compile the layers with torch.compile: slow to start, then faster",
        acts="torch.compile of each layer",
        mistaken=["torch_compile"],
        expertise="expert",
        affects_result=False,
    )
    packing: Packing = setting(
        "batch",
        "Pack conversations without padding: each batch (batch), or all data into rows of max_seq_len (full)",
        acts="the rows of each microbatch, and the attention of the model",
        expertise="expert",
        mistaken=["sample_packing", "padding_free", "is_padding_free"],
    )
    chat_template: str | None = setting(
        None,
        "Jinja file to use instead of the tokenizer's chat template",
        acts="the text that each conversation becomes",
        expertise="expert",
        path=True,
    )
    trust_remote_code: bool = setting(
        False,
        "Run Python code that comes with the model",
        acts="how model and tokenizer are loaded",
        expertise="expert",
    )
    accelerator: Literal["deepspeed", "fsdp"] | None = setting(
        None,
        "Shorthand: switches deepspeed or fsdp on, and the other off",
        acts="train.deepspeed.enabled and train.fsdp.enabled",
    )
    lora: Lora = section(Lora, "LoRA adapters")
    deepspeed: DeepSpeed = section(DeepSpeed, "DeepSpeed")
    fsdp: Fsdp = section(Fsdp, "FSDP")
    torchrun: Torchrun = section(Torchrun, "Training over several machines", affects_result=False)
    phases: Annotated[tuple[Phase, ...], BeforeValidator(as_tuple)] = setting(
        (),
        "Training phases in order; each starts from the model of the one before",
        acts="the trainings that follow one another",
        expertise="expert",
    )

    @model_validator(mode="before")
    @classmethod
    def _expand(cls, data: Any) -> Any:
        """Let ``accelerator`` switch its section on and the other one off, unless they say so themselves."""
        chosen = data.get("accelerator") if isinstance(data, Mapping) else None
        if not isinstance(chosen, str) or chosen not in _ACCELERATORS:
            return data
        switched = {name: _switched(data.get(name, {}), chosen == name) for name in _ACCELERATORS}
        return {**data, **switched, "accelerator": None}

    @property
    def phase_names(self) -> list[str]:
        """The name of each phase, which its folder has: its own, else one by its number from 0."""
        return [phase_name(phase.name, number) for number, phase in enumerate(self.phases)]

    def runs(self) -> tuple[Train, ...]:
        """The trainings that follow one another: one for each phase, or this one if it has no phases.

        A phase has the values of its own over those of the whole, a folder of its name in the whole's, and starts from
        the model of the phase before.
        """
        runs: list[Train] = []
        for name, phase in zip(self.phase_names, self.phases, strict=True):
            before = {"model_path": runs[-1].trained_model} if runs else {}
            folder = {"output_dir": os.path.join(self.output_dir, name)}
            runs.append(self.model_copy(update={**phase.own, **before, **folder, "phases": ()}))
        return tuple(runs) or (self,)

    def path_in_run(self, number: int, path: str) -> str:
        """Where a run, counted from 0, has a setting from: its phase, if that has one of its own, else the training."""
        name = path.removeprefix("train.")
        return f"train.phases.{number}.{name}" if self.phases and name in self.phases[number].own else path

    @property
    def trained_model(self) -> str:
        """Folder of the model that the training makes."""
        return os.path.join(self.output_dir, "model")

    @property
    def num_processes(self) -> int:
        """Processes on this machine: ``num_gpus``, else one for each chosen GPU, else one."""
        return self.num_gpus or len(self.gpus or ()) or 1

    @property
    def world_size(self) -> int:
        """Processes on all machines together: ``num_processes`` × ``torchrun.nnodes``."""
        return self.num_processes * self.torchrun.nnodes
