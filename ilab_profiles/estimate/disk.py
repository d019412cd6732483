"""What a training writes: bytes of a checkpoint, of the state of its optimizer and of the final model.

Sizes follow from numbers of parameters, which a model's architecture tells, and from the settings; how many checkpoints
there are and stay follows from the data, and is not told here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ilab_profiles.estimate.anatomy.shapes import Architecture
from ilab_profiles.estimate.setup import FP32, kept, states
from ilab_profiles.models.train import Train

__all__ = ["Disk", "Weights", "disk", "weights"]

_ZERO = 3 * FP32 + FP32
"""DeepSpeed writes its fp32 copy of the parameters beside the two means, and once more the parameters themselves, in
at most 4 bytes (Rajbhandari et al. 2020, section 3.1, and ``DeepSpeedEngine.save_checkpoint``)."""
_SMALL_FILES = 40_000
"""What else a checkpoint holds: configuration, template and so on, each in at least one block of the disk."""


class Weights(NamedTuple):
    """Numbers of parameters: of the model, and of those that are trained, which adapters are not part of the model."""

    whole: int
    trained: int


def weights(train: Train, model: Architecture) -> Weights:
    """The numbers of parameters of a model and of what is trained of it."""
    lora = train.lora
    return Weights(
        model.parameters, model.adapters(lora.lora_rank, lora.target_modules) if lora.enabled else model.parameters
    )


@dataclass(frozen=True, slots=True)
class Disk:
    """What a training writes, in bytes.

    Attributes:
        checkpoint: a checkpoint without the optimizer: what is trained, the whole model or adapters.
        optimizer: the state of the optimizer, in the newest checkpoint only.
        model: the final model; nothing after full training, where it is the last checkpoint under another name.
    """

    checkpoint: int
    optimizer: int
    model: int


def disk(train: Train, parameters: Weights, tokenizer: int = 0) -> Disk:
    """What a training writes.

    Args:
        train: the settings.
        parameters: the numbers of parameters.
        tokenizer: bytes of the tokenizer, which every checkpoint holds, and the model.
    """
    files = tokenizer + _SMALL_FILES
    trained = kept(train) * parameters.trained
    state = _ZERO if train.deepspeed.enabled else max(states(train))
    return Disk(
        trained + files, round(state * parameters.trained), FP32 * parameters.whole + files if train.lora.enabled else 0
    )
