"""Checkpoints of a run and its final model: where they lie, which is the newest, how they get there whole.

``checkpoints/samples_0000064`` holds a model (or adapters) and tokenizer that ``transformers`` loads, ``training.json``
(how far the run was) and, in the newest only, the optimizer's state. ``best`` leads to the one with the lowest
validation loss. ``model`` is the final model.
"""

from __future__ import annotations

import json
import shutil
import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from ilab_cli.backends.model_folder import lacking
from ilab_cli.backends.train.files import link_or_copy, remove_leftovers, replace_folder, temporary_name
from ilab_profiles import Finding, InputError, Train

__all__ = [
    "BEST",
    "OPTIMIZER",
    "Progress",
    "begin",
    "clean",
    "complete",
    "finished",
    "folder_of",
    "forget_older",
    "forget_optimizers",
    "link_model",
    "newest",
    "progress_of",
    "to_resume",
]

BEST = "best"
"""Name of the symbolic link, beside the checkpoints, to the one with the lowest validation loss."""
OPTIMIZER = "optimizer"
"""Name of the folder, inside a checkpoint, of the optimizer's state."""
_PROGRESS = "training.json"


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Args:
        step: optimizer steps done.
        samples: samples trained on, repetitions counted.
        data: fingerprint of the tokenised data.
        valid_loss: the validation loss, where there is a validation.
    """

    step: int
    samples: int
    data: str
    valid_loss: float | None = None


def progress_of(folder: Path) -> Progress:
    """How far the run was that wrote a checkpoint.

    Raises:
        InputError: if the checkpoint does not say.
    """
    try:
        return Progress(**json.loads((folder / _PROGRESS).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise _damaged(folder, f"{_PROGRESS} cannot be read: {error}") from error


def _damaged(folder: Path, what: str) -> InputError:
    hint = "remove that folder; the run then starts again"
    return InputError(Finding("checkpoint-damaged", f"{folder} is damaged: {what}", "train.output_dir", hint=hint))


def clean(run: Path) -> None:
    """Remove what a killed run left half-written."""
    remove_leftovers(run)
    remove_leftovers(run / "checkpoints")


def newest(run: Path) -> tuple[Path, Progress] | None:
    """The newest checkpoint that a run can go on from, and how far the run was; ``None`` before the first.

    Raises:
        InputError: if it is damaged.
    """
    folders = (optimizer.parent for optimizer in run.glob(f"checkpoints/samples_*/{OPTIMIZER}"))
    found = max(((folder, progress_of(folder)) for folder in folders), key=lambda item: item[1].step, default=None)
    if found and (lost := lacking(found[0])):
        raise _damaged(found[0], f"it lacks {', '.join(lost)}")
    return found


def to_resume(train: Train, data: str) -> tuple[Path | None, Progress]:
    """The checkpoint to go on from, or ``None`` at the start of a run, and how far the run is.

    Args:
        train: the settings.
        data: fingerprint of the tokenised data.

    Raises:
        InputError: if the newest checkpoint was trained on other data, or is damaged.
    """
    found = newest(Path(train.output_dir))
    if found is None:
        return None, Progress(0, 0, data)
    if found[1].data != data:
        raise InputError(
            Finding(
                "data-changed",
                f"{found[0]} was trained on other data, template or max_seq_len",
                "train.data_path",
                hint="put them back as they were, or name another train.output_dir",
            )
        )
    return found


def finished(run: Path, step: int, data: str | None = None) -> bool:
    """Whether the final model is there and is the outcome of ``step`` steps on these data, or on any."""
    try:
        progress = progress_of(run / "model")
    except InputError:  # not there, or not whole: it is made again
        return False
    return progress.step == step and data in (None, progress.data)


def folder_of(run: Path, samples: int) -> Path:
    """Folder of the checkpoint that is written after ``samples`` samples; the names sort by age."""
    return run / "checkpoints" / f"samples_{samples:07d}"


def begin(target: Path) -> Path:
    """An empty hidden folder to write the checkpoint or final model ``target`` into."""
    temporary = temporary_name(target)
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    return temporary


def complete(target: Path, progress: Progress) -> None:
    """Let what was written since :func:`begin` become ``target``."""
    temporary = temporary_name(target)
    (temporary / _PROGRESS).write_text(json.dumps(asdict(progress)) + "\n", encoding="utf-8")
    mode = stat.S_IMODE((temporary / _PROGRESS).stat().st_mode)
    for file in temporary.rglob("*"):  # libraries that write by way of a temporary file leave it to its owner alone
        if file.is_file():
            file.chmod(mode)
    replace_folder(temporary, target)


def forget_optimizers(target: Path) -> None:
    """Drop the optimizer's state, the largest part of a checkpoint, from all checkpoints but ``target``."""
    for optimizer in target.parent.glob(f"samples_*/{OPTIMIZER}"):
        if optimizer.parent != target:
            shutil.rmtree(optimizer)


def forget_older(target: Path, keep: int | None) -> None:
    """Remove all checkpoints but the newest ones, of which ``target`` is the last, and the best one."""
    found = sorted(target.parent.glob("samples_*"), key=lambda folder: int(folder.name.removeprefix("samples_")))
    best = _best(found)
    _lead_to(best, target.parent / BEST)
    for folder in found[:-keep] if keep else ():
        if folder != best:
            shutil.rmtree(folder)


def _best(folders: Sequence[Path]) -> Path | None:
    """The checkpoint with the lowest validation loss, the newest of several; ``None`` if there was no validation."""
    losses = [(_valid_loss(folder), folder) for folder in reversed(folders)]
    found = [(loss, folder) for loss, folder in losses if loss is not None]
    return min(found, key=lambda item: item[0])[1] if found else None


def _valid_loss(folder: Path) -> float | None:
    try:
        return progress_of(folder).valid_loss
    except InputError:  # a damaged one is not the best, and none to go on from either
        return None


def _lead_to(best: Path | None, link: Path) -> None:
    """Let a symbolic link lead to the best checkpoint, where the system has such."""
    if best is None:
        return
    temporary = temporary_name(link)
    with suppress(OSError, NotImplementedError):
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(best.name)
        temporary.replace(link)


def link_model(checkpoint: Path, folder: Path) -> None:
    """Put the model of a checkpoint into ``folder`` as well, as hard links where the disk has them: no second copy."""
    for file in checkpoint.iterdir():
        if file.name in {OPTIMIZER, _PROGRESS}:
            continue
        link_or_copy(file, folder / file.name)
