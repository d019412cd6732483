"""Phases that hand their best checkpoint over to the next, as a user runs them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.ilab_cli.backends.evaluate.conftest import ROOT
from tests.programs import Ilab

pytest.importorskip("accelerate", reason="needs the extra `train`")
pytest.importorskip("lm_eval", reason="needs the extra `evaluate`")
DEMO = ROOT / "examples" / "demo"
PROFILE = """\
extends: cpu_only
train:
  model_path: student
  data_path: {data}
  output_dir: out
  effective_batch_size: 24
  learning_rate: 2.0e-3
  warmup_steps: 1
  save_samples: 48
  num_epochs: 1
  {more}
  phases:
    - name: one
    - {{name: two, learning_rate: 1.0e-12, save_samples: 0}}
evaluate:
  benchmarks: [mmlu]
  between_phases: true
  mmlu: {{data_dir: {tasks}, tasks: [brindlemoor_trades], few_shots: 0}}
"""


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    make: list[str | Path] = [sys.executable, ROOT / "examples" / "tiny_student.py", tmp_path / "student"]
    subprocess.run(make, check=True, capture_output=True)
    lines = (DEMO / "train.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)[:144]
    (tmp_path / "some.jsonl").write_text("".join(lines), encoding="utf-8")
    return written(tmp_path)


def written(folder: Path, more: str = "precision: fp32", tasks: Path = DEMO / "mmlu") -> Path:
    file = folder / "phases.yaml"
    file.write_text(PROFILE.format(data=folder / "some.jsonl", tasks=tasks, more=more), encoding="utf-8")
    return file


def journal(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "out" / "handovers.jsonl").read_text().splitlines()]


def far(one: Path, other: Path) -> float:
    """The largest difference between the weights of two models."""
    from safetensors.numpy import load_file

    a, b = load_file(one / "model.safetensors"), load_file(other / "model.safetensors")
    return max(float(abs(a[name] - b[name]).max()) for name in a.keys() & b.keys())


@pytest.mark.parametrize("more", ["precision: fp32", "lora: {enabled: true, lora_rank: 4}"], ids=["full", "lora"])
def test_the_next_phase_starts_from_the_best_checkpoint(more: str, ilab: Ilab, profile: Path, tmp_path: Path) -> None:
    written(tmp_path, more)
    done = ilab("model", "train", "--profile", str(profile))
    assert done.returncode == 0, done.stderr
    one, two = journal(tmp_path)
    assert (one["phase"], two["phase"]) == ("one", "two")
    found = json.loads((tmp_path / "out" / "one" / "evaluation" / "scores.json").read_text())
    assert (one["best"], one["score"]) == (found["best"], max(row["score"] for row in found["checkpoints"]))
    assert len(found["checkpoints"]) == 3
    assert f"one hands over {one['best']}, " in done.stderr
    trained = tmp_path / "out" / "two" / "model"
    assert far(trained, tmp_path / one["model"]) < 1e-6, "a rate of nothing leaves what was handed over"
    others = [row["name"] for row in found["checkpoints"] if row["name"] != one["best"]]
    if "lora" not in more:
        assert all(far(trained, tmp_path / "out" / "one" / "checkpoints" / name) > 1e-4 for name in others)
    assert (tmp_path / "out" / "model").resolve() == (tmp_path / two["model"]).resolve()

    again = ilab("model", "train", "--profile", str(profile))
    assert (again.returncode, journal(tmp_path)) == (0, [one, two]), again.stderr


def test_killed_while_checkpoints_are_evaluated_it_goes_on(ilab: Ilab, profile: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "ILAB_PROFILE_DIR": str(tmp_path / "own"), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "ilab_cli", "model", "train", "--profile", str(profile)]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        env=environment,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    end = time.monotonic() + 200
    while not (first := sorted(tmp_path.glob("out/one/evaluation/checkpoints/*/scores.json"))):
        assert time.monotonic() < end
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if b"backends.evaluate.worker" in (folder / "cmdline").read_bytes() and (folder / "cwd").samefile(tmp_path):
                os.kill(int(folder.name), signal.SIGKILL)
        except OSError:
            continue
    assert not (tmp_path / "out" / "handovers.jsonl").exists()
    written_at = first[0].stat().st_mtime_ns

    done = ilab("model", "train", "--profile", str(profile))
    assert done.returncode == 0, done.stderr
    assert first[0].stat().st_mtime_ns == written_at, "what was evaluated is not evaluated again"
    assert [row["phase"] for row in journal(tmp_path)] == ["one", "two"]


def test_what_keeps_evaluation_away_is_told_before_and_in_the_journal(
    ilab: Ilab, profile: Path, tmp_path: Path
) -> None:
    written(tmp_path, tasks=tmp_path / "nowhere")
    done = ilab("model", "train", "--profile", str(profile))
    assert done.returncode == 0, done.stderr
    assert "warning[no-such-folder] " in done.stderr
    assert done.stderr.index("warning[no-such-folder]") < done.stderr.index("training on ")
    rows = journal(tmp_path)
    assert [(row["best"], row["model"]) for row in rows] == [(None, "out/one/model"), (None, "out/two/model")]
    assert "folder not found" in rows[0]["why"]


def test_the_command_of_a_dry_run_does_the_same(ilab: Ilab, profile: Path, tmp_path: Path) -> None:
    written(tmp_path, "max_hours: 1.0e-9")
    planned = json.loads(ilab("model", "train", "--profile", str(profile), "--dry-run", "--json").stdout)
    assert planned["command"][1:4] == ["-m", "ilab_cli.backends.phases.launch", "--settings"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **planned["environment"]}
    done = subprocess.run(planned["command"], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 75, done.stderr
    assert "stopped at step 1 of " in done.stderr
