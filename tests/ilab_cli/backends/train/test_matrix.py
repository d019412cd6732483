"""Every way to share a training among processes, tried: the same curve as alone, stopped, and gone on from there."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ilab_profiles import Train
from tests.ilab_cli.backends.train import matrix
from tests.ilab_cli.backends.train.conftest import ROOT

PAGE = ROOT / "docs" / "training.md"
ENGINES = ("accelerate", "deepspeed", "bitsandbytes")
needs_engines = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ENGINES)), reason="needs the extras train, deepspeed and quantize"
)


def run(base: dict[str, object], cells: list[tuple[str, str]], processes: int) -> dict[tuple[str, str], list[float]]:
    """The losses of each cell, all of them run by one set of processes."""
    base = {**base, "num_gpus": processes}
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    done = subprocess.run(
        [sys.executable, *torchrun, "-m", matrix.__name__, json.dumps(base), json.dumps(cells)],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    losses = {}
    for what, how in cells:
        folder = Path(matrix.settings(base, what, how).output_dir)
        assert (folder / "model" / "model.safetensors").is_file()
        rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        assert len(list((folder / "checkpoints").glob("samples_*"))) == 2, "one at the stop, one at the end"
        losses[what, how] = [row["loss"] for row in rows]
    return losses


@needs_engines
def test_every_cell_trains_as_one_process_does(settings: Callable[..., Train], tmp_path: Path) -> None:
    base: dict[str, object] = settings().model_dump(mode="json", exclude_unset=True)
    two = base | {"output_dir": str(tmp_path / "two"), "num_gpus": 2}
    cells = [cell for cell in matrix.cells(two) if "fp8" not in cell[0] or importlib.util.find_spec("torchao")]
    whats = list(dict.fromkeys(what for what, _ in cells))
    alone = run(base | {"output_dir": str(tmp_path / "one")}, [(what, "DDP") for what in whats], 1)
    for (what, how), losses in run(two, cells, 2).items():
        assert losses == pytest.approx(alone[what, "DDP"], rel=1e-3), (what, how)
        assert losses[-1] < losses[0]


def test_the_page_says_which_cells_run() -> None:
    base = {"output_dir": "runs", "num_gpus": 2}
    lines = [f"| | {' | '.join(matrix.HOW)} |", f"| --- |{' --- |' * len(matrix.HOW)}"]
    for what in matrix.WHAT:
        cells = [matrix.refusal(base, what, how) for how in matrix.HOW]
        lines.append(f"| {what} | {' | '.join(f'`{rule}`' if rule else 'runs' for rule in cells)} |")
    table = "\n".join(lines)
    assert table in PAGE.read_text(encoding="utf-8"), f"write into {PAGE.name}:\n{table}"
