"""The commands as a user types them, on a student made on the spot."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from ilab_profiles.yaml.read import read
from tests.programs import EXAMPLES, Ilab, ilab_in

for module in ("accelerate", "peft", "lm_eval"):
    pytest.importorskip(module)

QUICK = shlex.split("--num-epochs 2 --effective-batch-size 8 --max-seq-len 128 --warmup-steps 1 --learning-rate 1e-3")


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a student, 24 conversations, and a config file."""
    folder = tmp_path_factory.mktemp("work")
    maker = EXAMPLES / "tiny_student.py"
    subprocess.run([sys.executable, str(maker), "student"], cwd=folder, check=True, capture_output=True)
    lines = (EXAMPLES / "demo" / "train.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (folder / "train.jsonl").write_text("".join(lines[:24]), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def ilab(work: Path) -> Ilab:
    return ilab_in(work)


def losses(folder: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


TRAIN = ["model", "train", "--model-dir=student", "--data-dir=train.jsonl", *QUICK]


def test_train_then_evaluate(work: Path, ilab: Ilab) -> None:
    assert ilab("config", "init").returncode == 0
    done = ilab(*TRAIN, "--output-dir", "first")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    curve = losses(work / "first")
    assert len(curve) == 6
    assert curve[-1] < curve[0]

    manifest = read(work / "first" / "run.yaml").data
    assert manifest["status"] == "complete"
    assert manifest["settings"]["num_epochs"] == 2
    assert manifest["origins"]["train.num_epochs"] == "--num-epochs"
    assert "profile cpu_only (line " in manifest["origins"]["train.max_batch_len"]
    assert manifest["versions"]["torch"]

    before = (work / "first" / "metrics.jsonl").read_bytes()
    assert "model: first/model" in done.stderr
    assert "next: ilab model evaluate" in done.stderr
    again = ilab(*TRAIN, "--output-dir", "first", "--json")
    assert again.returncode == 0, again.stderr
    told = json.loads(again.stdout)
    assert (told["status"], told["finished_before"], told["made"]) == ("complete", True, {"model": "first/model"})
    assert (told["figures"]["steps"], told["figures"]["last_loss"]) == (6, curve[-1])
    other = ilab(*TRAIN, "--output-dir", "first", "--seed", "7")
    assert other.returncode == 2
    assert "first: error[output-folder-in-use]" in other.stderr
    assert "seed was 42, is 7" in other.stderr
    assert (work / "first" / "metrics.jsonl").read_bytes() == before

    scored = ilab(
        *shlex.split("model evaluate --benchmarks mmlu --input-dir first --few-shots 0 --batch-size 4"),
        *("--tasks", "brindlemoor_streets", "--data-dir", str(EXAMPLES / "demo" / "mmlu"), "--output-dir", "scores"),
    )
    assert scored.returncode == 0, scored.stderr
    assert "brindlemoor_streets" in scored.stdout
    assert "scores and answers: scores/first-" in scored.stderr
    assert (
        json.loads((work / "scores" / "latest" / "scores.json").read_text())["benchmarks"]["mmlu"]["overall"][
            "questions"
        ]
        == 12
    )


def test_a_run_that_came_to_nothing_is_taken_over_and_a_constant_schedule_extended(work: Path, ilab: Ilab) -> None:
    lora = [*TRAIN, "--lora", "--lr-schedule=constant", "--output-dir=long"]
    failed = ilab(*lora, "--learning-rate=1e30", "--warmup-steps=0")
    assert (failed.returncode, (work / "long" / "run.yaml").is_file()) == (1, True)
    done = ilab(*lora)
    assert done.returncode == 0, done.stderr
    assert "profile cpu_only" in done.stderr.splitlines()[0]
    done = ilab(*lora, "--num-epochs=3")
    assert done.returncode == 0, done.stderr
    refused = ilab(*lora, "--seed=3", "--no-resume")
    assert (refused.returncode, "--overwrite" in refused.stderr) == (2, True)
    straight = ilab(*lora, "--num-epochs=3", "--output-dir=straight")
    assert straight.returncode == 0, straight.stderr
    assert losses(work / "long") == pytest.approx(losses(work / "straight"), rel=1e-6)
    anew = ilab(*lora, "--seed=3", "--num-epochs=1", "--no-resume", "--overwrite")
    assert anew.returncode == 0, anew.stderr
    assert len(losses(work / "long")) == 3


def test_the_first_run_of_the_readme(tmp_path: Path) -> None:
    readme = (EXAMPLES.parent / "README.md").read_text(encoding="utf-8")
    lines = [
        line.removeprefix("$ ") for line in readme.partition("A first run, ")[2].split("```")[1].split("\n") if line
    ]
    assert lines[0].startswith("python examples/offline_teacher.py --port 8000")
    (tmp_path / "examples").symlink_to(EXAMPLES)
    teacher = [sys.executable, "examples/offline_teacher.py", "--port", "0"]
    with subprocess.Popen(teacher, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as serving:
        assert serving.stdout
        ilab = ilab_in(tmp_path, ILAB_GENERATE__MODEL_ENDPOINT_URL=serving.stdout.readline().strip())
        for line in lines[1:]:
            if line.startswith("ilab model chat"):
                continue  # it waits for somebody to type
            program, *arguments = shlex.split(line)
            if program == "ilab":
                done = ilab(*arguments)
            else:
                command = [sys.executable, *arguments]
                done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
            assert done.returncode == 0, (line, done.stderr)
        serving.terminate()
    assert (tmp_path / "runs/evaluate/latest/scores.json").is_file()
    assert (tmp_path / "report.html").is_file()


def test_what_a_dry_run_prints_does_the_same_run(work: Path, ilab: Ilab) -> None:
    shown = ilab(*TRAIN, "--lora", "--output-dir", "dry", "--dry-run")
    assert shown.returncode == 0, shown.stderr
    assert not (work / "dry").exists()
    assert re.search(r"\n# which takes:\n# [\d,]+ conversations in \d+ steps, [\d,]+ tokens\n# memory: ", shown.stdout)
    command = shown.stdout.strip().splitlines()[-1]
    subprocess.run(command, shell=True, cwd=work, check=True, capture_output=True, timeout=300)
    done = ilab(*TRAIN, "--lora", "--output-dir", "real")
    assert done.returncode == 0, done.stderr
    assert losses(work / "dry") == pytest.approx(losses(work / "real"), rel=1e-6)


GOOD = '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}\n'


@pytest.mark.parametrize(
    ("data", "arguments", "said"),
    [
        (None, ["--data-path", "missing.jsonl"], "missing.jsonl"),
        ("", [], "bad.jsonl"),
        (GOOD + "{not json\n", [], "bad.jsonl:2:"),
        (GOOD + '{"messages": [{"role": "user", "content": "a"}]}\n', [], "bad.jsonl:2:"),
        (GOOD, ["--max-seq-len", "2"], "max_seq_len"),
        (GOOD, ["--model-path", "."], "config.json"),
        (GOOD, ["--profile", "cpu-onli"], "did you mean cpu_only?"),
        (GOOD, ["--profile", "unknown-key.yaml"], "unknown-key.yaml:1:9: error[unknown-key]"),
        (GOOD, ["--profile", "contradiction.yaml"], "contradiction.yaml:1:37: error[quantize-needs-lora]"),
        (GOOD, ["--output-dir", "."], "output-folder-in-use"),
        (GOOD, ["--packing", "sideways"], "--packing"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(
    work: Path, ilab: Ilab, data: str | None, arguments: list[str], said: str
) -> None:
    (work / "unknown-key.yaml").write_text("train: {epoch: 1}\n", encoding="utf-8")
    (work / "contradiction.yaml").write_text("train: {deepspeed: {quantize_dtype: nf4}}\n", encoding="utf-8")
    (work / "bad.jsonl").write_text(data or "", encoding="utf-8")
    before = {path: path.stat().st_mtime_ns for path in work.rglob("*")}
    done = ilab(
        "model", "train", "--model-path=student", "--data-path=bad.jsonl", *QUICK, "--output-dir=new", *arguments
    )
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert {path: path.stat().st_mtime_ns for path in work.rglob("*")} == before
