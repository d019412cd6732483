"""Deleting all checkpoints but the best: which may go, and a record of those that went."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ilab_cli.backends.evaluate.checkpoints import Checkpoint, is_over
from ilab_cli.backends.train.files import temporary_name
from ilab_profiles.yaml.files import write_atomically

__all__ = ["RECORD", "disposable", "prune"]

RECORD = "pruned.json"
"""File, in the run folder of the training, that lists what was deleted."""


def disposable(found: Sequence[Checkpoint]) -> list[Checkpoint]:
    """Those of all checkpoints that may be deleted if another one is the best.

    The newest of a run stays unless that is over: the run would go on from it.
    """
    newest = {each.run: each for each in found}
    return [each for each in found if newest[each.run] is not each or is_over(each)]


def prune(found: Sequence[Checkpoint], best: Checkpoint, scores: Mapping[str, Any]) -> list[Checkpoint]:
    """Delete the checkpoints that are neither the best nor needed; what goes is written down first.

    Args:
        found: all checkpoints of the training.
        best: the one that stays.
        scores: for each, by name, what is written down about it.

    Returns:
        those that were deleted; none if one of them has no score.
    """
    if any(each.name not in scores for each in found):
        return []
    gone = [each for each in disposable(found) if each.name != best.name]
    for run in dict.fromkeys(each.run for each in gone):
        here = {each.name: {"samples": each.samples, **scores[each.name]} for each in gone if each.run == run}
        _record(run / RECORD, {"best": {best.name: scores[best.name]}, "deleted": here})
    for each in gone:
        hidden = temporary_name(each.folder)  # what is left of it if this process is killed is no checkpoint
        each.folder.rename(hidden)
        shutil.rmtree(hidden)
        _forget_links(each)
    return gone


def _record(file: Path, entry: Mapping[str, Any]) -> None:
    try:
        earlier = dict(json.loads(file.read_text(encoding="utf-8"))["deleted"])
    except (OSError, ValueError, LookupError, TypeError):
        earlier = {}
    whole = {**entry, "deleted": earlier | entry["deleted"]}
    write_atomically(file, json.dumps(whole, indent=2, ensure_ascii=False) + "\n")


def _forget_links(checkpoint: Checkpoint) -> None:
    """Remove the links beside a checkpoint that led to it."""
    for link in checkpoint.folder.parent.iterdir():
        if link.is_symlink() and not link.exists():
            link.unlink()
