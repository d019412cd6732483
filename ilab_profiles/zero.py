"""DeepSpeed's configuration: from the settings, or from a file of the user's. No DeepSpeed is imported here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ilab_profiles.diagnostics import Finding, InputError, Position
from ilab_profiles.models.train import Train

__all__ = ["configuration"]

_OURS = {
    "optimizer": "the optimizer is AdamW, with train.learning_rate and train.weight_decay",
    "scheduler": "the learning rate follows train.lr_schedule",
}
_FEW = 50_000_000
"""Numbers of a buffer through which gradients of adapters travel; those of a model have DeepSpeed's own size."""
_BATCH = ("train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps")


def configuration(train: Train) -> dict[str, Any]:
    """The configuration to give to DeepSpeed.

    A file's settings are used as they stand, but for the sizes of batches, which follow from
    ``train.effective_batch_size`` and ``train.max_batch_len``; what it leaves to ``"auto"`` comes from ``train``.

    Raises:
        InputError: if the file cannot be read, or sets what only ``train`` sets.
    """
    settings = train.deepspeed
    config = _read(settings.deepspeed_config) if settings.deepspeed_config else {}
    zero: dict[str, Any] = {"stage": settings.zero_stage, "stage3_gather_16bit_weights_on_model_save": True}
    if train.lora.enabled:
        zero["reduce_bucket_size"] = _FEW  # DeepSpeed's own size is 1 GB, however little is trained
    target: dict[str, Any] = {"device": settings.ds_offload_strat or "cpu"}
    if target["device"] == "nvme":
        target["nvme_path"] = settings.nvme_path
    if settings.cpu_offload_optimizer:
        zero["offload_optimizer"] = target
    if settings.cpu_offload_params:
        zero["offload_param"] = target
    given = config.get("zero_optimization", zero)
    merged = {name: zero.get(name, value) if value == "auto" else value for name, value in given.items()}
    config["zero_optimization"] = merged | {"stage3_gather_16bit_weights_on_model_save": True}
    if config.get("gradient_clipping", "auto") == "auto":
        config["gradient_clipping"] = train.max_grad_norm
    # every microbatch is announced as a batch of its own; when a step is due, the training loop says
    return config | {"train_micro_batch_size_per_gpu": 1, "gradient_accumulation_steps": 1}


def _read(name: str) -> dict[str, Any]:
    path = "train.deepspeed.deepspeed_config"
    try:
        config = json.loads(Path(name).read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        where = Position(name, error.lineno, error.colno)
        raise InputError(Finding("deepspeed-config", f"not JSON: {error.msg}", path, where)) from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(Finding("deepspeed-config", f"cannot read {name}: {error}", path)) from error
    if not isinstance(config, dict):
        raise InputError(Finding("deepspeed-config", "not a JSON object", path, Position(name, 1)))
    if found := [
        Finding("deepspeed-config", f"it sets {key}: {why}", path, Position(name), hint=f"remove {key} from the file")
        for key, why in _OURS.items()
        if key in config
    ]:
        raise InputError(found)
    return {key: value for key, value in config.items() if key not in _BATCH}
