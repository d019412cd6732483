"""The validation loss: of data that are not trained on, to see whether a model learns or only remembers.

The data are ``train.valid_path``, else the ``test_*.jsonl`` that a generation writes beside what is to be trained on.
They are tokenised as training data are, each file for itself, into ``validation`` in the run folder.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ilab_cli.backends.train.data.conversations import files_of
from ilab_profiles import Finding, InputError, Train

if TYPE_CHECKING:
    from ilab_cli.backends.train.data.dataset import Samples
    from ilab_cli.backends.train.plan import BatchPlan

__all__ = ["Validation", "findings", "load", "settings_of"]

_FOLDER = "validation"
_TESTS = "test_*.jsonl"
_KIND = re.compile(r"train_(.+)\.jsonl|(.+)_train\.jsonl")
"""Names of generated and of mixed data, each of one kind."""
_OFF = "train.validate_samples: 0 trains without validation"


def settings_of(train: Train) -> list[Train]:
    """The settings with which each file of validation data is prepared; empty where there is no validation.

    Raises:
        InputError: if ``train.valid_path`` is not there.
    """
    if train.validate_samples == 0:
        return []
    run = Path(train.output_dir) / _FOLDER
    return [
        train.model_copy(update={"data_path": str(file), "output_dir": str(run / file.stem), "phases": ()})
        for file in (_given(train.valid_path) if train.valid_path else _found(train.data_path))
    ]


def _given(path: str) -> list[Path]:
    try:
        return _tests(Path(path)) or files_of(path)
    except InputError as error:
        raise InputError([replace(finding, path="train.valid_path") for finding in error.findings]) from error


def _found(data_path: str) -> list[Path]:
    """The test data that belong to training data: of the same kind where a file's name tells, and not trained on.

    Mixed data lie in a folder below the generated ones.
    """
    path = Path(data_path)
    try:
        trained = files_of(data_path)
    except InputError:  # told where training data are looked at
        return []
    folder = path if path.is_dir() else path.parent
    kinds = {kind: kind[1] or kind[2] for file in trained if (kind := _KIND.fullmatch(file.name))}
    mixed = bool(kinds) and all(kind[2] for kind in kinds)
    found = _tests(folder) or (_tests(folder.absolute().parent) if mixed else [])
    names = {f"test_{kind}.jsonl" for kind in kinds.values()}
    return [file for file in found if file not in trained and (not names or file.name in names)]


def _tests(folder: Path) -> list[Path]:
    return sorted(file for file in folder.glob(_TESTS) if file.is_file())


def findings(train: Train, look: Callable[[Samples], Iterator[Finding]]) -> Iterator[Finding]:
    """What is wrong with the validation data; those that were found are no better than those that were named.

    Args:
        train: the settings.
        look: what may be wrong with sound samples.
    """
    from ilab_cli.backends.train.data import dataset

    try:
        for settings in settings_of(train):
            yield from look(dataset.examine(settings))
    except InputError as error:
        for finding in error.findings:
            if finding.path == "train.data_path":
                finding = replace(finding, path="train.valid_path", hint="; ".join(filter(None, (finding.hint, _OFF))))
            yield finding


def load(train: Train) -> list[Samples]:
    """The samples of each file of validation data, prepared if need be.

    Raises:
        InputError: if they cannot be used.
    """
    from ilab_cli.backends.train.data import dataset

    return [dataset.load(dataset.prepare(settings)) for settings in settings_of(train)]


@dataclass(frozen=True, eq=False)
class Validation:
    """The validation of one run.

    Args:
        plan: the steps.
        sets: the data; none where there is no validation.
    """

    plan: BatchPlan
    sets: Sequence[Samples]

    def due(self, step: int, *, saved: bool) -> bool:
        """Whether to validate after a step (from 0): for every checkpoint that is saved, and as often as was asked."""
        return bool(self.sets) and (saved or self.plan.due(step, self.plan.train.validate_samples or 0))

    @property
    def cost(self) -> float:
        """What one validation costs, in tokens, as packing weighs them."""
        plans = (replace(self.plan, lengths=samples.lengths) for samples in self.sets)
        return sum(plan.cost_seen(plan.steps_per_epoch) for plan in plans)

    def loss(self, accelerator: Any, network: Any, token_loss: Callable[[Samples, Sequence[int]], Any]) -> float | None:
        """The mean over all learned tokens of the data, the same for every number of processes.

        Args:
            accelerator: ``accelerate.Accelerator``.
            network: the model, wrapped by it.
            token_loss: gives the sum of the losses of some samples.

        Returns:
            the loss; ``None`` if it is not a finite number.
        """
        import torch

        from ilab_cli.backends.train.loss import undisturbed

        sums = torch.zeros(2, dtype=torch.float64, device=accelerator.device)
        with undisturbed(network):
            for samples in self.sets:
                plan = replace(self.plan, lengths=samples.lengths)
                for step in range(plan.steps_per_epoch):
                    for numbers in plan.shares(step)[accelerator.process_index]:
                        sums[0] += token_loss(samples, numbers)
                        sums[1] += sum(int(samples[number][1].sum()) for number in numbers)
        total, learned = accelerator.reduce(sums).tolist()
        mean = total / learned if learned else math.nan
        return mean if math.isfinite(mean) else None
