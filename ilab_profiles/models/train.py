"""Settings of ``ilab model train``: what is trained, on what, how fast, and on which hardware."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema, model_validator

from ilab_profiles.models.engines import DeepSpeed, Fsdp, Lora, Torchrun
from ilab_profiles.models.fields import GpuSelection, Packing, Section, as_tuple, section, setting, split_names
from ilab_profiles.models.phase import Phase, phase_name

__all__ = ["Train"]

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
    def is_for_cpu(self) -> bool:
        """Whether the settings themselves choose the CPU, whatever GPUs are there."""
        return self.device == "cpu" or self.gpus == ()

    @property
    def num_processes(self) -> int:
        """Processes on this machine: ``num_gpus``, else one for each chosen GPU, else one."""
        return self.num_gpus or len(self.gpus or ()) or 1

    @property
    def world_size(self) -> int:
        """Processes on all machines together: ``num_processes`` × ``torchrun.nnodes``."""
        return self.num_processes * self.torchrun.nnodes
