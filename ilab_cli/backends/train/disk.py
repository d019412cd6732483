"""How much room on disk a training takes, told before it starts, so that one that cannot fit is refused.

How large a checkpoint is, the library tells; here it is worked out how many there are and stay, and what lies beside
them. All figures are bytes.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from ilab_cli.backends.base import existing_part, size_in_words
from ilab_cli.backends.train.adapters import chosen
from ilab_cli.backends.train.architecture import skeleton
from ilab_cli.backends.train.checkpoint import finished
from ilab_cli.backends.train.data.tokens import model_source
from ilab_cli.backends.train.files import written
from ilab_cli.backends.train.plan import BatchPlan
from ilab_cli.backends.train.validation import settings_of
from ilab_profiles import Finding, InputError, Position, Train
from ilab_profiles.diagnostics import counted
from ilab_profiles.estimate.architecture import read
from ilab_profiles.estimate.disk import Disk, Weights, disk
from ilab_profiles.estimate.disk import weights as of_architecture

__all__ = ["Room", "at_most", "findings", "room_of", "tokenizer_size", "weights"]

_ROW = 400
"""A row of ``metrics.jsonl``; there is one for each step."""
_TOKEN = 4
"""A tokenised token is an int32, and so is the length of a sample."""


def weights(train: Train) -> Weights:
    """The numbers of parameters of the model to train, from its configuration; weights that are tied count once.

    Raises:
        InputError: if there is no such model.
    """
    with suppress(InputError):  # transformers may know better
        known = read(train.model_path or train.model_repo, trust_remote_code=train.trust_remote_code)
        if not known.unknown:
            return of_architecture(train, known)
    model = skeleton(train)
    whole = sum(parameter.numel() for parameter in model.parameters())
    layers = chosen(train, model).values() if train.lora.enabled else ()
    adapters = train.lora.lora_rank * sum(sum(layer.weight.shape[:2]) for layer in layers)
    return Weights(whole, adapters if train.lora.enabled else whole)


def tokenizer_size(train: Train) -> int:
    """Bytes of the model's tokenizer, without the small files that belong to it."""
    from transformers.utils import cached_file

    file = cached_file(model_source(train), "tokenizer.json", _raise_exceptions_for_missing_entries=False)
    return Path(file).stat().st_size if file else 0


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
    def _disk(self) -> Disk:
        return disk(self.plan.train, self.parameters, self.tokenizer)

    @property
    def checkpoint(self) -> int:
        """A checkpoint without the optimizer."""
        return self._disk.checkpoint

    @property
    def optimizer(self) -> int:
        """The state of the optimizer, in the newest checkpoint only."""
        return self._disk.optimizer

    @property
    def model(self) -> int:
        """The final model: after full training the files of the last checkpoint under another name, else merged."""
        return self._disk.model

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


def room_of(train: Train, plans: Sequence[BatchPlan]) -> list[Room]:
    """What each phase of a training takes; empty if the model's size is not known, whatever is wrong with it.

    Args:
        train: the settings.
        plans: of each of its phases.
    """
    try:
        parameters, tokenizer = weights(train), tokenizer_size(train)
    except Exception:  # it is told elsewhere
        return []
    return [Room(plan, parameters, tokenizer, train.keep_checkpoints) for plan in plans]


def at_most(rooms: Sequence[Room]) -> int:
    """What a training takes at most: its phases follow one another, and what one leaves stays."""
    before = [sum(room.at_end for room in rooms[:number]) for number in range(len(rooms))]
    return max(left + room.at_most for left, room in zip(before, rooms, strict=True))


def findings(train: Train, plans: Sequence[BatchPlan]) -> Iterator[Finding]:
    """Refuse a training that the disk has no room for; what its folder holds already counts as room.

    Args:
        train: the settings.
        plans: of each of its phases.
    """
    if all(finished(Path(plan.train.output_dir), plan.steps) for plan in plans):
        return
    if not (rooms := room_of(train, plans)):
        return
    folder = Path(train.output_dir)
    free = shutil.disk_usage(existing_part(folder)).free + written(folder)
    if (needed := at_most(rooms)) <= free:
        return
    last = rooms[-1]
    needs, has, each, state = map(size_in_words, (needed, free, last.checkpoint, last.optimizer))
    message = (
        f"the run needs about {needs} there, {has} are free: {counted(last.kept, 'checkpoints')} of {each} each, "
        f"{state} of optimizer state, which a new checkpoint has before the old one goes"
    )
    fewer = ((keep, [replace(room, keep=keep) for room in rooms]) for keep in range(last.kept - 1, 0, -1))
    fits = (keep for keep, some in fewer if at_most(some) <= free)
    hint = "choose a train.output_dir on a larger disk"
    if keep := next(fits, 0):
        hint = f"--keep-checkpoints {keep} fits; or raise train.save_samples, or {hint}"
    yield Finding("disk-space", message, "train.output_dir", Position(str(folder)), hint=hint)
