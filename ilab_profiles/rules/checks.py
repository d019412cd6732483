"""What the language of rules cannot say: checks in Python, such as arithmetic over two settings.

They stand beside the table of :mod:`ilab_profiles.rules.table`, and are left out of the JSON Schema.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import takewhile
from typing import Any

from ilab_profiles.diagnostics import Severity
from ilab_profiles.rules.language import Check, F, Field

__all__ = ["CHECKS", "check"]

CHECKS: list[Check] = []
_Run = Callable[[Any], Iterator[str]]


def check(id: str, *involved: Field, why: str, severity: Severity = "error") -> Callable[[_Run], _Run]:
    """Register a Python check over the fields ``involved``; findings point to the first of them that somebody set.

    The check gets the smallest section that holds all of them.
    """
    paths = tuple(item.path for item in involved)
    at = ".".join(part[0] for part in takewhile(lambda parts: len({*parts}) == 1, zip(*_above(paths), strict=False)))

    def register(run: _Run) -> _Run:
        CHECKS.append(Check(id, paths, why, run, at, severity))
        return run

    return register


def _above(paths: tuple[str, ...]) -> Iterator[list[str]]:
    """The sections on the way to each path."""
    return (path.split(".")[:-1] for path in paths)


@check(
    "batch-holds-a-sample",
    F.train.max_batch_len,
    F.train.max_seq_len,
    why="a conversation of max_seq_len tokens would not fit into any batch",
)
def _batch_holds_a_sample(train: Any) -> Iterator[str]:
    if train.max_batch_len < train.max_seq_len:
        yield f"{train.max_batch_len} must be at least train.max_seq_len: {train.max_seq_len}"


@check(
    "num-gpus-agrees",
    F.train.num_gpus,
    F.train.gpus,
    why="one process is started per GPU",
)
def _num_gpus_agrees(train: Any) -> Iterator[str]:
    if train.num_gpus and train.gpus and train.num_gpus != len(train.gpus):
        yield f"{train.num_gpus} must be the number of GPUs in train.gpus: {len(train.gpus)}"


@check(
    "batch-covers-processes",
    F.train.effective_batch_size,
    F.train.num_gpus,
    F.train.gpus,
    F.train.torchrun.nnodes,
    why="some processes get fewer samples in a step and wait for the others",
    severity="warning",
)
def _batch_covers_processes(train: Any) -> Iterator[str]:
    if train.effective_batch_size % train.world_size:
        yield f"{train.effective_batch_size} samples do not divide over {train.world_size} processes"


@check(
    "node-rank-in-range",
    F.train.torchrun.node_rank,
    F.train.torchrun.nnodes,
    why="machines are counted from 0",
)
def _node_rank_in_range(torchrun: Any) -> Iterator[str]:
    if torchrun.node_rank >= torchrun.nnodes:
        yield f"{torchrun.node_rank} must be below train.torchrun.nnodes: {torchrun.nnodes}"


@check(
    "checkpoint-after-every-step",
    F.train.save_samples,
    F.train.effective_batch_size,
    why="writing checkpoints would take most of the time",
    severity="warning",
)
def _checkpoint_after_every_step(train: Any) -> Iterator[str]:
    if 0 < train.save_samples <= train.effective_batch_size:
        yield f"{train.save_samples} samples are no more than one step of {train.effective_batch_size}"


@check(
    "phase-names-differ",
    F.train.phases,
    why="each phase needs a folder of its own",
)
def _phase_names_differ(train: Any) -> Iterator[str]:
    names = train.phase_names
    for name in dict.fromkeys(name for name in names if names.count(name) > 1):
        yield f"two phases have the name {name}"
