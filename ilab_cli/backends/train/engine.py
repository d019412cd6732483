"""How processes train together: accelerate, set up for DDP or for DeepSpeed, or torch's FSDP.

The only file that knows which engine runs; the recipe in ``worker`` and ``training`` is the same for all of them.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any

from ilab_cli.backends.base import memory_in_words
from ilab_cli.backends.hardware import most_memory, on_cpu
from ilab_cli.backends.train import fsdp, optimizers
from ilab_cli.backends.train.loss import learner
from ilab_cli.backends.train.model import layers
from ilab_profiles import Train
from ilab_profiles.zero import configuration

__all__ = [
    "backward",
    "clip",
    "load_optimizer",
    "memory",
    "memory_now",
    "microbatch",
    "prepare",
    "save_optimizer",
    "start",
    "whole_weights",
]

_PATIENCE = timedelta(hours=2)
"""How long a process waits for the others, for example while one of them writes a large model."""


_TAG = "state"


def _is_deepspeed(accelerator: Any) -> bool:
    return str(accelerator.distributed_type.value) == "DEEPSPEED"


def _is_fsdp(network: Any) -> bool:
    from torch.distributed.fsdp import FSDPModule

    return isinstance(network, FSDPModule)


def start(train: Train) -> Any:
    """Join the other processes.

    Returns:
        ``accelerate.Accelerator``.

    Raises:
        RuntimeError: if not as many processes came together as the settings ask for; each would train alone.
    """
    from accelerate import Accelerator, DeepSpeedPlugin, DistributedDataParallelKwargs, InitProcessGroupKwargs
    from accelerate.utils import ProjectConfiguration

    cpu, deepspeed = on_cpu(train.device, train.gpus), train.deepspeed.enabled
    accelerator = Accelerator(
        cpu=cpu and not deepspeed,  # with cpu=True accelerate would leave DeepSpeed out without a word
        mixed_precision="no" if train.precision == "fp32" or train.fsdp.enabled else train.precision,
        log_with=list(train.trackers) or None,
        project_config=ProjectConfiguration(logging_dir=str(Path(train.output_dir) / "tensorboard")),
        deepspeed_plugin=DeepSpeedPlugin(hf_ds_config=configuration(train)) if deepspeed else None,
        kwargs_handlers=[
            DistributedDataParallelKwargs(gradient_as_bucket_view=True),
            InitProcessGroupKwargs(backend="gloo" if cpu else None, timeout=_PATIENCE),
        ],
    )
    if accelerator.num_processes != train.world_size:
        raise RuntimeError(f"{accelerator.num_processes} processes came together, {train.world_size} were asked for")
    return accelerator


def prepare(train: Train, accelerator: Any, model: Any) -> tuple[Any, Any]:
    """Put a model and its loss onto the device of this process, shared out as the settings say.

    Args:
        train: the settings.
        accelerator: what :func:`start` returned.
        model: ``transformers.PreTrainedModel``, or ``peft.PeftModel``.

    Returns:
        the network, which :func:`~ilab_cli.backends.train.loss.learner` tells how to call, and its optimizer.
    """
    network = learner(model, offload=train.offload_activations)
    if train.fsdp.enabled:
        network = fsdp.shard(train, network, layers(model), accelerator.device)
        return network, optimizers.make(train, model)
    frozen = [name for name, weight in network.named_parameters() if not weight.requires_grad]
    network._ddp_params_and_buffers_to_ignore = frozen  # every process has loaded them: DDP need not send them around
    network, optimizer = accelerator.prepare(network, optimizers.make(train, model))
    return network, optimizer


def backward(accelerator: Any, network: Any, loss: Any) -> None:
    """Do the backward pass of a microbatch; gradients are averaged over the processes."""
    loss.backward() if _is_fsdp(network) else accelerator.backward(loss)


def microbatch(accelerator: Any, network: Any, last: bool) -> AbstractContextManager[None]:
    """The context of one microbatch: gradients travel between the processes in the last one of a step only."""
    if _is_deepspeed(accelerator):
        accelerator.sync_gradients = last  # DeepSpeed does its optimizer step when the last backward pass ends
        return nullcontext()
    if _is_fsdp(network):
        network.set_requires_gradient_sync(last)
        return nullcontext()
    return nullcontext() if last else accelerator.no_sync(network)


def clip(accelerator: Any, network: Any, norm: float) -> float:
    """Scale the gradient down to ``norm`` if it is larger; return its norm before."""
    if _is_deepspeed(accelerator):
        return float(network.get_global_grad_norm())  # clipped already, in the step
    if _is_fsdp(network):
        return fsdp.clip(network, norm)
    return float(accelerator.clip_grad_norm_(network.parameters(), norm))


def memory() -> dict[str, int]:
    """The most memory in bytes that this process held so far, by the name that it has in a row of metrics.

    ``memory`` is that of tensors on the GPU, or on the CPU what was resident. ``gpu_memory`` is what was in use of the
    GPU, with what the allocator keeps, CUDA itself, and whatever else is on it.
    """
    import torch

    if not torch.cuda.is_initialized():
        return {"memory": most_memory()}
    free, total = torch.cuda.mem_get_info()
    given_back = torch.cuda.max_memory_reserved() - torch.cuda.memory_reserved()
    return {"memory": torch.cuda.max_memory_allocated(), "gpu_memory": total - free + given_back}


def memory_now() -> str:
    """The memory that this process held at most, and what there is of it now, in words."""
    import torch

    from ilab_profiles.hardware.memory import free

    held = {name: memory_in_words(size) for name, size in memory().items()}
    if not torch.cuda.is_initialized():
        return f"{held['memory']} of this process at most, {memory_in_words(free())} of main memory are free now"
    left, total = map(memory_in_words, torch.cuda.mem_get_info())
    reserved = memory_in_words(torch.cuda.max_memory_reserved())
    return (
        f"{held['memory']} of tensors at most, {reserved} reserved for them; of {total} on the GPU {left} are free now"
    )


def whole_weights(accelerator: Any, network: Any) -> dict[str, Any] | None:
    """The weights to save where the processes hold parts of them; ``None`` where each has the whole model."""
    if not (_is_deepspeed(accelerator) or _is_fsdp(network)):
        return None
    whole = fsdp.weights(network) if _is_fsdp(network) else accelerator.get_state_dict(network)
    return {name.removeprefix("model."): weight for name, weight in (whole or {}).items()}


def save_optimizer(accelerator: Any, network: Any, optimizer: Any, folder: Path) -> None:
    """Write the state of the optimizer, and of the loss scaler that fp16 needs, into a new folder."""
    import torch

    if _is_deepspeed(accelerator):
        network.save_checkpoint(str(folder), tag=_TAG, exclude_frozen_parameters=True)
    elif _is_fsdp(network):
        fsdp.save_optimizer(network, optimizer, folder)
    elif accelerator.is_main_process:
        folder.mkdir()
        scaler = accelerator.scaler.state_dict() if accelerator.scaler else None
        torch.save({"optimizer": optimizer.state_dict(), "scaler": scaler}, folder / "state.pt")


def load_optimizer(accelerator: Any, network: Any, optimizer: Any, folder: Path) -> None:
    """Read what :func:`save_optimizer` wrote."""
    import torch

    if _is_deepspeed(accelerator):
        network.load_checkpoint(str(folder), tag=_TAG, load_module_strict=False)
        return
    if _is_fsdp(network):
        fsdp.load_optimizer(network, optimizer, folder)
        return
    state = torch.load(folder / "state.pt", map_location="cpu", weights_only=True)
    optimizer.load_state_dict(state["optimizer"])
    if accelerator.scaler:
        accelerator.scaler.load_state_dict(state["scaler"])
