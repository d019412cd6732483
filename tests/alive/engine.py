"""Cases of ``train`` that act on model, optimizer and engine: all real, with the tiny student on the CPU."""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from ilab_profiles import InputError, Profile, Train
from tests.alive.case import Case
from tests.alive.workshop import Workshop

Look = Callable[[Profile, Workshop], Any]
STUDENT: dict[str, Any] = {
    "train.device": "cpu",
    "train.model_path": lambda workshop: workshop.student,
    "train.output_dir": lambda workshop: str(workshop.folder / "run"),
}
LORA = STUDENT | {"train.lora.enabled": True}
FSDP = STUDENT | {"train.fsdp.enabled": True}


# --- the model --------------------------------------------------------------------------------------------------------


def built(about: Callable[[Any], Any], needs: str = "torch") -> Look:
    """Something of the model that is trained; skipped where a library that it needs is not installed."""

    def look(profile: Profile, workshop: Workshop) -> Any:
        pytest.importorskip(needs)
        import torch

        from ilab_cli.backends.train.model import build

        return about(build(profile.train, torch.device("cpu"), None))

    return look


def trained(model: Any) -> int:
    """The number of parameters that are trained."""
    return sum(weight.numel() for weight in model.parameters() if weight.requires_grad)


def dtype_of_base(model: Any) -> str:
    return str(model.get_input_embeddings().weight.dtype)


def adapter(model: Any) -> Any:
    """The adapter of one layer, in which all layers are alike."""
    return next(module for name, module in model.named_modules() if name.endswith("q_proj"))


def adapters_in(model: Any) -> set[str]:
    """The names of the layers that have adapters."""
    return {name.split(".lora_A")[0].split(".")[-1] for name, _ in model.named_parameters() if "lora_A" in name}


def kind_of_layer(model: Any) -> str:
    return type(adapter(model).get_base_layer()).__name__


def compiled(model: Any) -> bool:
    from ilab_cli.backends.train.model import layers

    return all(layer._compiled_call_impl is not None for layer in layers(model))


def attention(model: Any) -> str:
    return str(model.config._attn_implementation)


def many(tensors: int) -> bool:
    return tensors > 50


def few(tensors: int) -> bool:
    return tensors < 20


def loss_of(network: Any) -> Any:
    """The loss of eight tokens."""
    import torch

    from ilab_cli.backends.train.attention import segments

    ids = torch.arange(8)[None]
    return network({"input_ids": ids, **segments([8], torch.device("cpu"))}, torch.arange(7), ids[:, 1:])


def own_code(workshop: Workshop) -> str:
    """The student, with Python code for its configuration beside it."""
    folder = workshop.folder / "own"
    if not folder.is_dir():
        shutil.copytree(workshop.student, folder)
        config = json.loads((folder / "config.json").read_text())
        config |= {"model_type": "own", "auto_map": {"AutoConfig": "own.OwnConfig"}}
        (folder / "config.json").write_text(json.dumps(config))
        code = "from transformers import LlamaConfig\n\nclass OwnConfig(LlamaConfig):\n    model_type = 'own'\n"
        (folder / "own.py").write_text(code)
    return str(folder)


def configured(profile: Profile, workshop: Workshop) -> str:
    """The class of the model's configuration, or that it is refused."""
    from ilab_cli.backends.train.architecture import configuration

    try:
        return type(configuration(profile.train)).__name__
    except InputError:
        return "refused"


def source(profile: Profile, workshop: Workshop) -> str:
    from ilab_cli.backends.train.data.tokens import model_source

    return model_source(profile.train)


MODEL = [
    Case("train.model_path", lambda workshop: workshop.student, source, "instructlab/granite-7b-lab", os.path.isdir),
    Case("train.model_repo", "some/model", source, "instructlab/granite-7b-lab", "some/model"),
    Case("train.trust_remote_code", True, configured, "refused", "OwnConfig", STUDENT | {"train.model_path": own_code}),
    Case(
        "train.master_weights",
        "bf16",
        built(dtype_of_base),
        "torch.float32",
        "torch.bfloat16",
        STUDENT | {"train.precision": "bf16"},
    ),
    Case("train.packing", "none", built(attention), "packed", "sdpa", STUDENT),
    Case("train.compile", True, built(compiled), False, True, STUDENT),
    Case(
        "train.lora.enabled",
        True,
        built(trained),
        lambda count: count > 500_000,
        lambda count: count < 100_000,
        STUDENT,
    ),
]
ADAPTERS = [
    Case("train.lora.lora_rank", 4, built(lambda model: adapter(model).r["default"]), 8, 4, LORA),
    Case("train.lora.lora_alpha", 16.0, built(lambda model: adapter(model).scaling["default"]), 4.0, 2.0, LORA),
    Case("train.lora.lora_dropout", 0.3, built(lambda model: adapter(model).lora_dropout["default"].p), 0.1, 0.3, LORA),
    Case("train.lora.target_modules", "q_proj", built(adapters_in), lambda names: len(names) == 7, {"q_proj"}, LORA),
    Case("train.deepspeed.quantize_dtype", "nf4", built(kind_of_layer, "bitsandbytes"), "Linear", "Linear4bit", LORA),
]


# --- the engine -------------------------------------------------------------------------------------------------------


@contextmanager
def alone() -> Iterator[None]:
    """This process as torchrun starts one of one; afterwards no trace of an engine is left."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    alone = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    with patch.dict(os.environ, alone):
        from accelerate.state import AcceleratorState
        from torch import distributed
        from transformers.integrations import unset_hf_deepspeed_config

        try:
            yield
        finally:
            AcceleratorState._reset_state(reset_partial_state=True)
            unset_hf_deepspeed_config()
            if distributed.is_initialized():
                distributed.destroy_process_group()


def started(about: Callable[[Train, Any, Any, Any, Any], Any], needs: str = "torch") -> Look:
    """Something of settings, accelerator, model, network and optimizer, put together as a worker does; see built."""

    def look(profile: Profile, workshop: Workshop) -> Any:
        pytest.importorskip(needs)
        with alone():
            from ilab_cli.backends.train import engine
            from ilab_cli.backends.train.model import build

            accelerator = engine.start(profile.train)
            model = build(profile.train, accelerator.device, None)
            return about(profile.train, accelerator, model, *engine.prepare(profile.train, accelerator, model))

    return look


def network(train: Train, accelerator: Any, model: Any, network: Any, optimizer: Any) -> str:
    return type(network).__name__


def kept(train: Train, accelerator: Any, model: Any, network: Any, optimizer: Any) -> int:
    """How many tensors are kept for the backward pass, where they are: neither made again nor moved elsewhere."""
    import torch

    tensors: list[torch.Tensor] = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        tensors.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss_of(network)
    return len(tensors)


def arithmetic(train: Train, accelerator: Any, model: Any, network: Any, optimizer: Any) -> str:
    """The type in which a layer multiplies."""
    import torch
    from torch.nn import Linear

    seen: list[torch.dtype] = []
    layer = next(module for module in model.modules() if isinstance(module, Linear))
    layer.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    loss_of(network)
    return str(seen[0])


def optimizer(train: Train, accelerator: Any, model: Any, network: Any, optimizer: Any) -> Any:
    own = getattr(optimizer, "optimizer", optimizer)
    return type(own).__name__


def decay(train: Train, accelerator: Any, model: Any, network: Any, optimizer: Any) -> float:
    return float(optimizer.param_groups[0]["weight_decay"])


def gathered_after_forward(train: Train, accelerator: Any, model: Any, network: Any, optimizer: Any) -> bool:
    """Whether a layer has its whole weights after the forward pass."""
    from ilab_cli.backends.train.model import layers

    loss_of(network)
    return not hasattr(next(layers(model)[0].parameters()), "to_local")


def offload(train: Train, accelerator: Any, model: Any, network: Any, optimizer: Any) -> str:
    """How FSDP keeps the shards of a layer."""
    from ilab_cli.backends.train.model import layers

    return type(layers(model)[0]._get_fsdp_state()._fsdp_param_group.offload_policy).__name__


def tracked(profile: Profile, workshop: Workshop) -> list[dict[str, float]]:
    """What a tracker is told of a step; one that only remembers stands in the place of any that is installed."""
    from accelerate.tracking import GeneralTracker, LoggerType

    told: list[dict[str, float]] = []

    class Remembers(GeneralTracker):  # type: ignore[misc]
        name, requires_logging_directory, tracker = "tensorboard", False, None

        def __init__(self, *_: Any, **__: Any) -> None:
            """Take whatever is said of the run."""

        def store_init_configuration(self, values: Any) -> None:
            """Forget the hyperparameters."""

        def log(self, values: dict[str, float], step: int | None = None, **_: Any) -> None:
            told.append(values)

    def log(train: Train, accelerator: Any, *_: Any) -> None:
        from ilab_cli.backends.train import trackers

        trackers.start(train, accelerator, 0)
        accelerator.log(trackers.values({"step": 1, "loss": 2.0}), step=1)

    Path(profile.train.output_dir).mkdir(exist_ok=True)
    with (
        patch.dict("accelerate.tracking.LOGGER_TYPE_TO_CLASS", {"tensorboard": Remembers}),
        patch("accelerate.tracking._available_trackers", [LoggerType.TENSORBOARD]),
        patch.dict(os.environ),
    ):
        started(log)(profile, workshop)
    return told


ENGINE = [
    Case("train.gradient_checkpointing", True, started(kept), many, few, STUDENT),
    Case("train.offload_activations", True, started(kept), many, few, STUDENT),
    Case("train.trackers", "tensorboard", tracked, [], [{"loss": 2.0}], STUDENT),
    Case("train.precision", "bf16", started(arithmetic), "torch.float32", "torch.bfloat16", STUDENT),
    Case("train.optimizer", "adafactor", started(optimizer), "AdamW", "Adafactor", STUDENT),
    Case("train.weight_decay", 0.1, started(decay), 0.0, 0.1, STUDENT),
    Case("train.accelerator", "fsdp", started(network), "DistributedDataParallel", "FSDPLearner", STUDENT),
    Case("train.fsdp.enabled", True, started(network), "DistributedDataParallel", "FSDPLearner", STUDENT),
    Case("train.fsdp.reshard_after_forward", False, started(gathered_after_forward), False, True, FSDP),
    Case("train.fsdp.fsdp_cpu_offload", True, started(offload), "OffloadPolicy", "CPUOffloadPolicy", FSDP),
    Case(
        "train.deepspeed.enabled",
        True,
        started(network, "deepspeed"),
        "DistributedDataParallel",
        "DeepSpeedEngine",
        STUDENT,
    ),
]

# --- a whole training -------------------------------------------------------------------------------------------------


def done(profile: Profile, workshop: Workshop) -> Path:
    """The folder of a training that was done from its first to its last step."""
    from ilab_cli.backends.train.stop import Stop
    from ilab_cli.backends.train.worker import train_model

    folder = Path(profile.train.output_dir)
    shutil.rmtree(folder, ignore_errors=True)
    with alone():
        assert train_model(profile.train, Stop(None))
    return folder


def checkpoints(profile: Profile, workshop: Workshop) -> list[int]:
    """The checkpoints that are there at its end, by the samples before them."""
    found = done(profile, workshop).glob("checkpoints/samples_*")
    return sorted(int(folder.name.removeprefix("samples_")) for folder in found)


def steps_validated(profile: Profile, workshop: Workshop) -> list[int]:
    """The steps after which there was a validation."""
    rows = map(json.loads, (done(profile, workshop) / "metrics.jsonl").read_text().splitlines())
    return [row["step"] for row in rows if "valid_loss" in row]


def norm(profile: Profile, workshop: Workshop) -> float:
    """The norm of the gradient with which the optimizer did its last step."""
    from torch.optim.optimizer import register_optimizer_step_pre_hook

    norms: list[float] = []

    def hear(optimizer: Any, *_: Any) -> None:
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        norms.append(float(sum(weight.grad.pow(2).sum() for weight in weights if weight.grad is not None) ** 0.5))

    hook = register_optimizer_step_pre_hook(hear)
    try:
        done(profile, workshop)
    finally:
        hook.remove()
    return round(norms[-1], 3)


RUN = STUDENT | {
    "train.data_path": lambda at: at.conversations("data.jsonl", *[3] * 12),
    "train.effective_batch_size": 4,
    "train.max_seq_len": 64,
    "train.max_batch_len": 64,
    "train.save_samples": 0,
}
SAVED = RUN | {"train.save_samples": 4}
HELD_OUT = RUN | {"train.valid_path": lambda at: at.conversations("held_out.jsonl", 3, 4)}

WHOLE = [
    Case("train.save_samples", 4, checkpoints, [12], [4, 8, 12], RUN),
    Case("train.keep_checkpoints", 1, checkpoints, [4, 8, 12], [12], SAVED),
    Case("train.validate_samples", 4, steps_validated, [3], [1, 2, 3], HELD_OUT),
    Case("train.max_grad_norm", 0.5, norm, 1.0, 0.5, RUN),
]

CASES = [*MODEL, *ADAPTERS, *ENGINE, *WHOLE]
