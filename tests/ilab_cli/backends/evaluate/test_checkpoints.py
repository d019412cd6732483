"""Evaluations of checkpoints, as a user asks for them: found, scored once each, the best chosen, the rest pruned."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from ilab_cli.backends.evaluate import best
from ilab_cli.backends.evaluate.best import Figure
from ilab_cli.backends.evaluate.checkpoints import chosen, find, is_over
from tests.ilab_cli.backends.evaluate.conftest import ROOT, TASK
from tests.programs import Ilab, ilab_in

SAMPLES = (10, 20, 30, 100)
RIGHT = 30
"""The checkpoint that answers every question right."""
MAKE = "import sys; sys.path.insert(0, sys.argv[1]); from examples.tiny_student import *; from pathlib import Path\n"
MAKE += "for n in sys.argv[3:]: make(Path(sys.argv[2], f'samples_{int(n):07d}'), demo_texts(), layers=1, seed=int(n))"

PLAIN = "--no-apply-chat-template"
"""Asked so, the checkpoints answer differently."""


def name(samples: int) -> str:
    return f"samples_{samples:07d}"


def as_checkpoint(folder: Path, step: int, samples: int) -> None:
    (folder / "training.json").write_text(json.dumps({"step": step, "samples": samples, "data": "x"}))


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("lm_eval", reason="needs the extra `evaluate`")
    folder = tmp_path_factory.mktemp("models")
    command = [sys.executable, "-c", MAKE, str(ROOT), str(folder), *map(str, SAMPLES)]
    subprocess.run(command, check=True, capture_output=True)
    return folder


@pytest.fixture
def trained(models: Path, tmp_path: Path) -> Path:
    """A run folder of a training that is not over: four checkpoints, the newest with the optimizer's state."""
    run = tmp_path / "trained"
    for step, samples in enumerate(SAMPLES, start=1):
        folder = run / "checkpoints" / name(samples)
        shutil.copytree(models / name(samples), folder)
        as_checkpoint(folder, step, samples)
    (folder / "optimizer").mkdir()
    ZipFile(folder / "optimizer" / "state.pt", "w").close()
    return run


@pytest.fixture(scope="session")
def tasks(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A task whose right answers are those of one checkpoint."""
    place = tmp_path_factory.mktemp("tasks")
    questions = [f"Tide {number} of {'moon ' * (number % 5)}?" for number in range(24)]
    (place / "tides.yaml").write_text(TASK.format(name="tides"))
    write_questions(place, questions, [0] * 24)
    done = evaluate(ilab_in(place), place, "--model", models / name(RIGHT), "--output-dir", "first")
    assert done.returncode == 0, done.stderr
    answers = (place / "first" / "latest" / "answers_tides.jsonl").read_text().splitlines()
    write_questions(place, questions, ["ABCD".index(json.loads(line)["answered"].strip()) for line in answers])
    shutil.rmtree(place / "first")
    return place


def write_questions(place: Path, questions: list[str], answers: list[int]) -> None:
    rows = [{"question": text, "answer": answer} for text, answer in zip(questions, answers, strict=True)]
    (place / "tides.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def evaluate(ilab: Ilab, tasks: Path, *words: object) -> subprocess.CompletedProcess[str]:
    common = ("--benchmarks", "mmlu", "--data-dir", tasks, "--tasks", "tides", "--few-shots", "0", "--gpus", "-1")
    return ilab("model", "evaluate", *map(str, (*common, PLAIN, *words)))


def workers(trained: Path) -> list[str]:
    """The processes that evaluate a training."""
    lines = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            lines.append((folder / "cmdline").read_bytes())
        except OSError:
            continue
    return [str(line) for line in lines if b"backends.evaluate.worker" in line and str(trained).encode() in line]


def scores(tmp_path: Path) -> dict[str, Any]:
    return dict(json.loads((tmp_path / "out" / "latest" / "scores.json").read_text()))


def test_every_checkpoint_is_scored_and_the_best_one_put_where_it_loads(
    ilab: Ilab, tasks: Path, trained: Path, tmp_path: Path
) -> None:
    done = evaluate(ilab, tasks, "--input-dir", trained, "--output-dir", "out")
    assert done.returncode == 0, done.stderr
    assert "; evaluation of 4 of 4 checkpoints in " in done.stderr.splitlines()[0]
    found = scores(tmp_path)
    assert [row["name"] for row in found["checkpoints"]] == [name(samples) for samples in SAMPLES]
    assert (found["form"], found["best"]) == ("checkpoints", name(RIGHT))
    by_name = {row["name"]: row for row in found["checkpoints"]}
    assert by_name[name(RIGHT)]["score"] == 1.0
    assert all(row["score"] < 1.0 for row in found["checkpoints"] if row["name"] != name(RIGHT))
    for row in found["checkpoints"]:
        whole = json.loads((tmp_path / "out" / "latest" / "checkpoints" / row["name"] / "scores.json").read_text())
        assert whole["benchmarks"]["mmlu"]["score"] == row["benchmarks"]["mmlu"]["score"] == row["score"]
    marked = [line.split()[0] for line in done.stdout.splitlines() if line.endswith("best")]
    assert marked == [name(RIGHT)]

    put = tmp_path / "out" / "latest" / "best"
    weights = put / "model.safetensors"
    assert weights.stat().st_ino == (trained / "checkpoints" / name(RIGHT) / "model.safetensors").stat().st_ino
    assert not (put / "training.json").exists()
    code = "import sys; from transformers import AutoModelForCausalLM as M, AutoTokenizer as T\n"
    code += "M.from_pretrained(sys.argv[1]); T.from_pretrained(sys.argv[1])"
    subprocess.run([sys.executable, "-c", code, put], check=True, capture_output=True)


def test_a_killed_evaluation_goes_on_and_repeats_no_checkpoint(
    ilab: Ilab, tasks: Path, trained: Path, tmp_path: Path
) -> None:
    words = ["--benchmarks", "mmlu", "--data-dir", tasks, "--tasks", "tides", "--few-shots", "0", "--gpus", "-1"]
    words += [PLAIN, "--input-dir", trained, "--output-dir", "out"]
    environment = {**os.environ, "ILAB_PROFILE_DIR": str(tmp_path / "own"), "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-m", "ilab_cli", "model", "evaluate", *map(str, words)],
        cwd=tmp_path,
        env=environment,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    end = time.monotonic() + 120
    while not (first := list(tmp_path.glob(f"out/*/checkpoints/{name(10)}/scores.json"))):
        assert time.monotonic() < end
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    while workers(trained):
        assert time.monotonic() < end, "the worker ends with the command"
        time.sleep(0.1)
    written = first[0].stat().st_mtime_ns
    assert not (first[0].parents[2] / "scores.json").exists()

    done = evaluate(ilab, tasks, "--input-dir", trained, "--output-dir", "out")
    assert done.returncode == 0, done.stderr
    assert [path.name for path in (tmp_path / "out").iterdir() if path.name != "latest"] == [first[0].parents[2].name]
    assert first[0].stat().st_mtime_ns == written
    assert scores(tmp_path)["best"] == name(RIGHT)
    again = evaluate(ilab, tasks, "--input-dir", trained, "--output-dir", "out")
    assert again.returncode == 0, again.stderr
    assert len(list((tmp_path / "out").glob("trained-*"))) == 2, "what was finished is asked anew, in its own folder"


def test_pruning_leaves_the_best_and_what_a_training_goes_on_from(
    ilab: Ilab, tasks: Path, trained: Path, tmp_path: Path
) -> None:
    below = trained / "checkpoints"
    (below / "mine").mkdir()
    (below / "samples_0000005").mkdir()  # not written by a training
    (below / "best").symlink_to(name(10))
    words = ("--input-dir", trained, "--output-dir", "out", "--prune")
    dry = evaluate(ilab, tasks, *words, "--dry-run")
    assert f"of these all are deleted but the best: {name(10)}, {name(20)}, {name(30)}" in dry.stderr
    assert len(list(below.iterdir())) == 7

    some = evaluate(ilab, tasks, *words, "--checkpoints", "last:3")
    assert (some.returncode, f"nothing is pruned: {name(10)} has no score" in some.stderr) == (0, True), some.stderr
    assert len(list(below.iterdir())) == 7

    done = evaluate(ilab, tasks, *words)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in below.iterdir()) == [
        "mine",
        "samples_0000005",
        name(RIGHT),
        name(SAMPLES[-1]),
    ]
    record = json.loads((trained / "pruned.json").read_text())
    assert [*record["deleted"]] == [name(10), name(20)]
    assert record["best"][name(RIGHT)]["score"] == 1.0

    as_checkpoint(below / name(SAMPLES[-1]), 4, SAMPLES[-1])
    shutil.copytree(below / name(SAMPLES[-1]), trained / "model")  # now the training is over
    assert is_over(find(trained)[-1])
    assert evaluate(ilab, tasks, *words).returncode == 0
    assert [path.name for path in below.glob("samples_0*[1-9]0*")] == [name(RIGHT)]
    assert [*json.loads((trained / "pruned.json").read_text())["deleted"]] == [name(10), name(20), name(SAMPLES[-1])]
    assert (tmp_path / "out" / "latest" / "best" / "model.safetensors").is_file()


def test_a_broken_checkpoint_is_named_and_nothing_pruned(ilab: Ilab, tasks: Path, trained: Path) -> None:
    broken = trained / "checkpoints" / name(20)
    weights = (broken / "model.safetensors").read_bytes()
    (broken / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    done = evaluate(ilab, tasks, "--input-dir", trained, "--output-dir", "out", "--prune")
    assert done.returncode == 0, done.stderr
    assert f"warning[broken-checkpoint] evaluate.input_dir: {name(20)} is left out: " in done.stderr
    assert f"nothing is pruned: {name(20)} has no score" in done.stderr
    assert len(find(trained)) == 4
    assert f"{name(20)}" in done.stdout

    from safetensors.numpy import load_file, save_file

    (broken / "model.safetensors").write_bytes(weights)
    whole = load_file(broken / "model.safetensors")
    lost = {name: value for name, value in whole.items() if "down_proj" not in name}
    save_file(lost, broken / "model.safetensors", {"format": "pt"})
    nothing = {name: value * float("nan") for name, value in whole.items()}
    save_file(nothing, trained / "checkpoints" / name(10) / "model.safetensors", {"format": "pt"})
    done = evaluate(ilab, tasks, "--input-dir", trained, "--output-dir", "out", "--prune")
    assert done.returncode == 0, done.stderr
    assert f"warning: {name(20)} is left out: " in done.stderr
    assert "lacks the weights model.layers.0.mlp.down_proj.weight" in done.stderr
    assert f"warning: {name(10)} is left out: " in done.stderr
    assert f"nothing is pruned: {name(10)}, {name(20)} has no score" in done.stderr
    alone = evaluate(ilab, tasks, "--model", broken, "--output-dir", "alone")
    assert (alone.returncode, "lacks the weights" in alone.stderr) == (1, True), alone.stderr

    for each in find(trained):
        (each.folder / "model.safetensors").write_bytes(b"")
    refused = evaluate(ilab, tasks, "--input-dir", trained, "--output-dir", "none")
    assert refused.returncode == 2
    assert refused.stderr.count("error[broken-checkpoint]") == 4


def test_which_form_an_evaluation_has(ilab: Ilab, tasks: Path, models: Path, trained: Path) -> None:
    def said(*words: object) -> str:
        done = evaluate(ilab, tasks, *words, "--output-dir", "out")
        assert done.returncode == 0, done.stderr
        return done.stderr.splitlines()[0].partition("; ")[2]

    shutil.copytree(models / name(10), trained / "model")
    assert said("--input-dir", models / name(10)).startswith("full evaluation of ")
    assert said("--input-dir", trained).startswith("full evaluation of ")
    assert "2 of 4 checkpoints" in said("--input-dir", trained, "--checkpoints", "last:2")
    assert "4 of 4 checkpoints" in said("--input-dir", trained / "checkpoints")
    bad = evaluate(ilab, tasks, "--input-dir", models / name(10), "--checkpoints", "all", "--output-dir", "out")
    assert (bad.returncode, "error[no-checkpoints]" in bad.stderr) == (2, True), bad.stderr
    bad = evaluate(ilab, tasks, "--input-dir", trained, "--checkpoints", "first:2", "--output-dir", "out")
    assert bad.returncode == 2


def test_the_checkpoints_of_a_training_in_phases_in_their_order(trained: Path, tmp_path: Path) -> None:
    run = tmp_path / "whole"
    for phase in ("b", "a"):
        shutil.copytree(trained, run / phase)
    found = find(run)
    assert [each.name for each in found[:2]] == [f"a/{name(10)}", f"a/{name(20)}"]
    (run / "run.yaml").write_text("settings:\n  phases:\n    - name: b\n    - name: a\n")
    found = find(run)
    assert [each.name for each in found[:2]] == [f"b/{name(10)}", f"b/{name(20)}"]
    assert [each.samples for each in chosen(found, "every:3")] == [20, 10, 100]
    assert [each.name for each in chosen(found, "last:1")] == [f"a/{name(100)}"]
    assert chosen(found, "last:99") == found


def test_the_figure_and_how_sure_it_is() -> None:
    both = {"mmlu": {"score": 0.5, "stderr": 0.03}, "mt_bench": {"score": 7.0, "stderr": 0.4}}
    assert tuple(best.figure(both, "mean")) == pytest.approx((0.6, 0.025))
    assert tuple(best.figure(both, "mt_bench")) == pytest.approx((0.7, 0.04))
    assert best.figure({"mmlu": {"score": 0.5, "stderr": None}}, "mean") == Figure(0.5, None)
    assert best.best_of([Figure(0.4, 0.1), Figure(0.6, 0.1), Figure(0.6, 0.1)]) == 1
    assert best.note({"a": Figure(0.4, 0.01), "b": Figure(0.6, 0.01)}) == ""
    assert "b is ahead of a by 0.020" in best.note({"a": Figure(0.58, 0.02), "b": Figure(0.6, 0.02)})
    assert "b is as good as a" in best.note({"a": Figure(0.6, 0.02), "b": Figure(0.6, 0.02)})
    assert best.note({"a": Figure(0.6, None), "b": Figure(0.6, 0.02)}) == best.note({"a": Figure(0.6, 0.1)}) == ""
