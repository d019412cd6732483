"""What the language of rules cannot say: checks in Python, such as arithmetic over two settings.

They stand beside the table of :mod:`ilab_profiles.rules`, and are left out of the JSON Schema.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ilab_profiles.conditions import Check, F, Field
from ilab_profiles.diagnostics import Severity
from ilab_profiles.profile import Profile

__all__ = ["CHECKS", "check"]

CHECKS: list[Check] = []


def check(
    id: str, *involved: Field, why: str, severity: Severity = "error"
) -> Callable[[Callable[[Profile], Iterator[str]]], Callable[[Profile], Iterator[str]]]:
    """Register a Python check over the fields ``involved``; findings point to the first of them that somebody set."""

    def register(run: Callable[[Profile], Iterator[str]]) -> Callable[[Profile], Iterator[str]]:
        CHECKS.append(Check(id, tuple(item.path for item in involved), why, run, severity))
        return run

    return register


@check(
    "batch-holds-a-sample",
    F.train.max_batch_len,
    F.train.max_seq_len,
    why="a conversation of max_seq_len tokens would fit into no batch",
)
def _batch_holds_a_sample(profile: Profile) -> Iterator[str]:
    train = profile.train
    if train.max_batch_len < train.max_seq_len:
        yield f"{train.max_batch_len} tokens are fewer than train.max_seq_len: {train.max_seq_len}"


@check(
    "num-gpus-agrees",
    F.train.num_gpus,
    F.train.gpus,
    why="one process is started for each GPU",
)
def _num_gpus_agrees(profile: Profile) -> Iterator[str]:
    train = profile.train
    if train.num_gpus and train.gpus and train.num_gpus != len(train.gpus):
        yield f"{train.num_gpus} disagrees with train.gpus, which names {len(train.gpus)}"


@check(
    "batch-covers-processes",
    F.train.effective_batch_size,
    F.train.num_gpus,
    F.train.gpus,
    F.train.torchrun.nnodes,
    why="some processes get fewer samples in a step and wait for the others",
    severity="warning",
)
def _batch_covers_processes(profile: Profile) -> Iterator[str]:
    train = profile.train
    if train.effective_batch_size % train.world_size:
        yield f"{train.effective_batch_size} samples do not divide over {train.world_size} processes"


@check(
    "machines-need-a-place-to-meet",
    F.train.torchrun.nnodes,
    F.train.torchrun.rdzv_endpoint,
    F.train.torchrun.master_addr,
    why="each machine would wait for the others at an address of its own",
)
def _machines_need_a_place_to_meet(profile: Profile) -> Iterator[str]:
    torchrun = profile.train.torchrun
    if torchrun.nnodes > 1 and not (torchrun.rdzv_endpoint or torchrun.master_addr):
        yield f"{torchrun.nnodes} machines need train.torchrun.rdzv_endpoint or master_addr"


@check(
    "node-rank-in-range",
    F.train.torchrun.node_rank,
    F.train.torchrun.nnodes,
    why="machines are counted from 0",
)
def _node_rank_in_range(profile: Profile) -> Iterator[str]:
    torchrun = profile.train.torchrun
    if torchrun.node_rank >= torchrun.nnodes:
        yield f"{torchrun.node_rank} is not below train.torchrun.nnodes: {torchrun.nnodes}"


@check(
    "checkpoint-after-every-step",
    F.train.save_samples,
    F.train.effective_batch_size,
    why="writing checkpoints would take most of the time",
    severity="warning",
)
def _checkpoint_after_every_step(profile: Profile) -> Iterator[str]:
    train = profile.train
    if 0 < train.save_samples <= train.effective_batch_size:
        yield f"{train.save_samples} samples are not more than one step of {train.effective_batch_size}"


@check(
    "phase-names-differ",
    F.train.phases,
    why="each phase has a folder of its own",
)
def _phase_names_differ(profile: Profile) -> Iterator[str]:
    names = profile.train.phase_names
    for name in dict.fromkeys(name for name in names if names.count(name) > 1):
        yield f"two phases are called {name}"
