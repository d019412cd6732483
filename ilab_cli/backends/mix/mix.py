"""Mixing what a plan says: shuffled, into one file for each kind, all of them put in place together at the end.

In the output folder there are afterwards the two files (one, if the recipes are of one kind) and ``mix.yaml``, which
says what went in; ``ilab model train --data-path`` reads the folder as it is.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ilab_cli.backends.mix.plan import MEMORY, MixPlan, Share
from ilab_cli.backends.mix.recipes import KINDS, Kind
from ilab_cli.backends.mix.sampling import passes, seed_of
from ilab_cli.backends.mix.shuffle import Deal, Gather, deal, gather
from ilab_cli.backends.processes import Apply, processes
from ilab_cli.output import lively
from ilab_profiles import Generate
from ilab_profiles.yaml.files import exclusive, sync
from ilab_profiles.yaml.write import dump

__all__ = ["MANIFEST", "Mixed", "mix", "output_name"]

_PREFIX, _SUFFIX = ".mixing-", ".tmp"
MANIFEST = "mix.yaml"
_SMALLEST_BUCKET = 2**20


@dataclass(frozen=True, slots=True)
class Mixed:
    """A file that was written, the number of its rows, and of the data sets that they come from."""

    file: Path
    rows: int
    data_sets: int


def output_name(kind: Kind) -> str:
    """Name of the file with all mixed rows of a kind."""
    return f"{kind}_train.jsonl"


def mix(generate: Generate, plan: MixPlan) -> list[Mixed]:
    """Write what the plan says to the output folder; a file that an earlier mix left there is replaced, or removed.

    Raises:
        DataChangedError: if a data set is not what it was when it was planned.
        OSError: if something cannot be read or written, for example because the disk is full. The outputs are then,
            as after an interruption, what they were before.
    """
    folder = Path(generate.mixed_dir)
    folder.mkdir(parents=True, exist_ok=True)
    size = sum(share.size_taken for share in plan.shares)
    workers = min(generate.mix.num_util_proc, size // _SMALLEST_BUCKET)
    mixed: list[Mixed] = []
    with exclusive(folder / MANIFEST):
        for leftover in folder.glob(f"{_PREFIX}*{_SUFFIX}"):
            shutil.rmtree(leftover)
        with TemporaryDirectory(dir=folder, prefix=_PREFIX, suffix=_SUFFIX) as name, processes(workers) as apply:
            temporary = Path(name)
            for kind in KINDS:
                if shares := [share for share in plan.shares if share.data_set.kind == kind]:
                    rows = _shuffle(shares, generate, temporary / output_name(kind), apply)
                    mixed.append(Mixed(folder / output_name(kind), rows, len(shares)))
            (temporary / MANIFEST).write_text(dump(_manifest(generate, plan)), encoding="utf-8")
            _put_in_place(temporary, folder)
    return mixed


def _shuffle(shares: Sequence[Share], generate: Generate, output: Path, apply: Apply) -> int:
    """Write the rows of these shares to ``output``, in random order; returns their number."""
    spills = output.with_suffix(".spills")
    spills.mkdir()
    size = sum(share.size_taken for share in shares)
    bucket_size = max(MEMORY // 3 // generate.mix.num_util_proc, _SMALLEST_BUCKET)
    buckets = -(-size // bucket_size) or 1
    sizes: NDArray[np.int64] = np.zeros(buckets, dtype=np.int64)
    hidden = not lively(sys.stderr)
    with tqdm(total=2 * size, unit="B", unit_scale=True, desc=output.stem, leave=False, disable=hidden) as bar:
        for dealt in apply(deal, list(_deals(shares, generate.seed, buckets, bucket_size, spills))):
            sizes += dealt
            bar.update(int(dealt.sum()))
        with output.open("wb") as stream:
            stream.truncate(int(sizes.sum()))
        offsets = (np.cumsum(sizes) - sizes).tolist()
        tasks = [Gather(bucket, buckets, spills, output, offset) for bucket, offset in enumerate(offsets)]
        rows = 0
        for count, written in zip(apply(gather, tasks), sizes.tolist(), strict=True):
            rows += count
            bar.update(written)
    shutil.rmtree(spills)
    return rows


def _deals(shares: Sequence[Share], seed: int, buckets: int, size: int, spills: Path) -> Iterator[Deal]:
    """The tasks of the first step, with about ``size`` bytes of rows each; their spill files are named in order."""
    number = 0
    for share in shares:
        data_set = share.data_set
        about = (seed, data_set.kind, *data_set.number)
        order = seed_of("order", *about)
        turns = tuple(passes(share.taken, share.rows, seed_of("sample", *about)))
        at_once = max(size // share.size, 1)
        for first in range(0, len(turns), at_once):
            start = 0
            for chunk, rows in share.parts:
                some, spill = turns[first : first + at_once], spills / f"{number:012}"
                yield Deal(chunk, start, rows, some, order, buckets, data_set.system_prompt, spill)
                number, start = number + 1, start + rows


def _manifest(generate: Generate, plan: MixPlan) -> dict[str, object]:
    return {
        "seed": generate.seed,
        "data_sets": [
            {
                "output": output_name(share.data_set.kind),
                "recipe": str(share.data_set.recipe),
                "path": share.data_set.path,
                "sampling_size": share.data_set.sampling_size,
                "rows": share.rows,
                "taken": share.taken,
            }
            for share in plan.shares
        ],
    }


def _put_in_place(temporary: Path, folder: Path) -> None:
    """Let the finished files replace those of an earlier mix; of its files none stays that is not made anew."""
    for file in temporary.iterdir():
        sync(file)
    for name in (*map(output_name, KINDS), MANIFEST):
        if (temporary / name).exists():
            os.replace(temporary / name, folder / name)
        else:
            (folder / name).unlink(missing_ok=True)
    sync(folder)
