"""How much room on disk a training takes, told before it starts, so that one that cannot fit is refused.

Sizes follow from the numbers of parameters, which the model's configuration tells: it is built without memory for its
weights. All figures are bytes.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from ilab_cli.backends.base import existing_part
from ilab_cli.backends.train.adapters import chosen
from ilab_cli.backends.train.architecture import skeleton
from ilab_cli.backends.train.checkpoint import finished
from ilab_cli.backends.train.data.tokens import model_source
from ilab_cli.backends.train.plan import BatchPlan
from ilab_cli.backends.train.validation import settings_of
from ilab_profiles import Finding, Position, Train
from ilab_profiles.diagnostics import counted

__all__ = ["Room", "Weights", "findings", "room", "tokenizer_size", "weights", "written"]

_FP32 = 4
_STATE = {"adamw": 2, "adamw_fused": 2, "adamw_8bit": 0.52, "adafactor": 0.1, "muon": 2}
"""Numbers that an optimizer keeps beside each trained one. AdamW keeps two running means (Kingma & Ba 2015, algorithm
1), in 8 bits with two scales for 256 of them (Dettmers et al. 2022); Adafactor only sums of rows and columns (Shazeer &
Stern 2018); Muon one mean of each matrix, and AdamW's of all else."""
_ZERO = 3 * _FP32 + _FP32
"""DeepSpeed writes its fp32 copy of the parameters beside the two means, and once more the parameters themselves, in
at most 4 bytes (Rajbhandari et al. 2020, section 3.1, and ``DeepSpeedEngine.save_checkpoint``)."""
_SMALL_FILES = 40_000
"""What else a checkpoint holds: configuration, template and so on, each in at least one block of the disk."""
_ROW = 300
"""A row of ``metrics.jsonl``; there is one for each step."""
_TOKEN = 4
"""A tokenised token is an int32, and so is the length of a sample."""


class Weights(NamedTuple):
    """Numbers of parameters: of the model, and of those that are trained, which adapters are not part of the model."""

    whole: int
    trained: int


def weights(train: Train) -> Weights:
    """The numbers of parameters of the model to train, from its configuration; weights that are tied count once.

    Raises:
        InputError: if there is no such model.
    """
    model = skeleton(train)
    whole = sum(parameter.numel() for parameter in model.parameters())
    return Weights(whole, sum(_adapters(train, model)) if train.lora.enabled else whole)


def tokenizer_size(train: Train) -> int:
    """Bytes of the model's tokenizer, without the small files that belong to it."""
    from transformers.utils import cached_file

    file = cached_file(model_source(train), "tokenizer.json", _raise_exceptions_for_missing_entries=False)
    return Path(file).stat().st_size if file else 0


def _adapters(train: Train, model: Any) -> Iterator[int]:
    """Parameters of each adapter: two matrices, of the rank and a side of the layer (Hu et al. 2021, section 4)."""
    for layer in chosen(train, model).values():
        yield train.lora.lora_rank * sum(layer.weight.shape[:2])


@dataclass(frozen=True)
class Room:
    """What one training, or one phase, takes.

    Args:
        plan: the steps.
        parameters: the model's.
        tokenizer: bytes of its tokenizer, which every checkpoint holds.
        keep: ``keep_checkpoints``.
    """

    plan: BatchPlan
    parameters: Weights
    tokenizer: int
    keep: int | None

    @cached_property
    def checkpoint(self) -> int:
        """A checkpoint without the optimizer: the weights that are trained, the whole model or adapters."""
        return self._trained + self.tokenizer + _SMALL_FILES

    @property
    def _trained(self) -> int:
        """The weights that are trained."""
        return (_FP32 if self.plan.train.master_weights == "fp32" else _FP32 // 2) * self.parameters.trained

    @property
    def optimizer(self) -> int:
        """The state of the optimizer, in the newest checkpoint only."""
        if self.plan.train.deepspeed.enabled:
            return _ZERO * self.parameters.trained
        return int(_STATE[self.plan.train.optimizer] * self._trained)

    @property
    def model(self) -> int:
        """The final model: after full training the files of the last checkpoint under another name, else merged."""
        return _FP32 * self.parameters.whole + self.tokenizer + _SMALL_FILES if self.plan.train.lora.enabled else 0

    @property
    def data(self) -> int:
        """The tokenised data, and the metrics."""
        lengths = self.plan.lengths
        return _TOKEN * int(lengths.sum()) + _TOKEN * len(lengths) + _ROW * self.plan.steps

    @cached_property
    def saves(self) -> int:
        """How many checkpoints the run writes, if nothing stops it."""
        every = self.plan.train.save_samples
        return 1 + sum(self.plan.due(step, every) for step in range(self.plan.steps - 1))

    @cached_property
    def kept(self) -> int:
        """How many of them stay: with a validation the best one, too."""
        best = bool(settings_of(self.plan.train))
        return min(self.saves, self.keep + best if self.keep else self.saves)

    @property
    def at_end(self) -> int:
        """What is there at the end."""
        return self.kept * self.checkpoint + self.optimizer + self.model + self.data

    @property
    def at_most(self) -> int:
        """What is there at most: when a checkpoint is whole the older ones go, and the optimizer's state in them."""
        older = min(self.saves - 1, self.kept)
        writing = (older + 1) * self.checkpoint + (1 + (older > 0)) * self.optimizer + self.data
        return max(writing, self.at_end)


def room(plans: Sequence[BatchPlan], parameters: Weights, tokenizer: int, keep: int | None) -> int:
    """What a training takes at most: its phases follow one another, and what one leaves stays."""
    rooms = [Room(plan, parameters, tokenizer, keep) for plan in plans]
    before = [sum(room.at_end for room in rooms[:number]) for number in range(len(rooms))]
    return max(left + room.at_most for left, room in zip(before, rooms, strict=True))


def written(folder: Path) -> int:
    """What is in a folder already; files with several names count once."""
    found = (file.lstat() for file in folder.rglob("*")) if folder.is_dir() else ()
    return sum({stat.st_ino: stat.st_size for stat in found}.values())


def findings(train: Train, plans: Sequence[BatchPlan]) -> Iterator[Finding]:
    """Refuse a training that the disk has no room for; what its folder holds already counts as room.

    Args:
        train: the settings.
        plans: of each of its phases.
    """
    if all(finished(Path(plan.train.output_dir), plan.steps) for plan in plans):
        return
    try:
        parameters, tokenizer = weights(train), tokenizer_size(train)
    except Exception:  # whatever is wrong with the model is told elsewhere; without numbers nothing is refused
        return
    folder = Path(train.output_dir)
    free = shutil.disk_usage(existing_part(folder)).free + written(folder)
    if (needed := room(plans, parameters, tokenizer, train.keep_checkpoints)) <= free:
        return
    last = Room(plans[-1], parameters, tokenizer, train.keep_checkpoints)
    message = (
        f"the run needs about {_size(needed)} there, {_size(free)} are free: {counted(last.kept, 'checkpoints')} of "
        f"{_size(last.checkpoint)} each, {_size(last.optimizer)} of optimizer state, which a new checkpoint has "
        "before the old one goes"
    )
    fits = (keep for keep in range(last.kept - 1, 0, -1) if room(plans, parameters, tokenizer, keep) <= free)
    hint = "choose a train.output_dir on a larger disk"
    if keep := next(fits, 0):
        hint = f"--keep-checkpoints {keep} fits; or raise train.save_samples, or {hint}"
    yield Finding("disk-space", message, "train.output_dir", Position(str(folder)), hint=hint)


def _size(size: float) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"
