"""FSDP: torch's own ``fully_shard``, each layer of the model a unit of its own; gather, train, free."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ilab_profiles import Train

__all__ = ["clip", "load_optimizer", "save_optimizer", "shard", "weights"]


def shard(train: Train, network: Any, layers: list[Any], device: Any) -> Any:
    """Split the weights of a module over the processes, in place.

    Shards keep the type that the weights have. What is gathered is in the type of the arithmetic; gradients are summed
    in fp32.

    Args:
        train: the settings.
        network: the module that is trained.
        layers: its parts that are gathered one after the other.
        device: ``torch.device`` of this process.

    Returns:
        ``network``, which is a ``torch.distributed.fsdp.FSDPModule`` now.
    """
    import torch
    from torch.distributed import get_world_size, init_process_group, is_initialized
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import CPUOffloadPolicy, MixedPrecisionPolicy, fully_shard

    if not is_initialized():  # a single process needs no group, but shards its weights over one
        init_process_group("gloo" if device.type == "cpu" else None)
    options: dict[str, Any] = {
        "mesh": init_device_mesh(device.type, (get_world_size(),)),
        "reshard_after_forward": train.fsdp.reshard_after_forward,
        "mp_policy": MixedPrecisionPolicy(
            param_dtype=torch.bfloat16 if train.precision == "bf16" else None, reduce_dtype=torch.float32
        ),
    }
    if train.fsdp.fsdp_cpu_offload:
        options["offload_policy"] = CPUOffloadPolicy(pin_memory=device.type == "cuda")
    for layer in layers:
        fully_shard(layer, **options)
    return fully_shard(network, **options)


def clip(network: Any, norm: float) -> float:
    """Scale the gradient down to ``norm`` if it is larger; return its norm before."""
    from torch.nn.utils import clip_grad_norm_

    found = clip_grad_norm_(network.parameters(), norm)
    return float(found.full_tensor() if hasattr(found, "full_tensor") else found)


def weights(network: Any) -> dict[str, Any]:
    """The trained weights as whole tensors in main memory, by name; empty but in the main process."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

    options = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=_some_are_frozen(network))
    return dict(get_model_state_dict(network, options=options))


def _some_are_frozen(network: Any) -> bool:
    return not all(weight.requires_grad for weight in network.parameters())


def save_optimizer(network: Any, optimizer: Any, folder: Path) -> None:
    """Write the optimizer's state into a new folder: every process its own part."""
    import torch.distributed.checkpoint as dcp
    from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict

    dcp.save(get_optimizer_state_dict(network, optimizer), checkpoint_id=folder)


def load_optimizer(network: Any, optimizer: Any, folder: Path) -> None:
    """Read what :func:`save_optimizer` wrote, with any number of processes."""
    import torch.distributed.checkpoint as dcp
    from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict, set_optimizer_state_dict

    state = get_optimizer_state_dict(network, optimizer)
    dcp.load(state, checkpoint_id=folder)
    set_optimizer_state_dict(network, optimizer, state)
