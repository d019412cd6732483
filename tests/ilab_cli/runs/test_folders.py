"""A run folder belongs to one run and to one process at a time; what came to nothing blocks nobody."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ilab_cli.backends.evaluate import launch as evaluation
from ilab_cli.backends.train import launch as training
from ilab_cli.runs.lock import held, holder
from ilab_cli.runs.manifest import Run
from ilab_profiles import Evaluate, Finding, resolve
from tests.programs import Ilab

HOLD = "import sys; from pathlib import Path; from ilab_cli.runs.lock import held\nwith held(Path(sys.argv[1])):\n"
HOLD += "    print('held', flush=True); sys.stdin.read()"


def hold(folder: Path) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout
    assert process.stdout.readline() == b"held\n"
    return process


def row(text: str) -> str:
    said = [{"role": "user", "content": text}, {"role": "assistant", "content": text}]
    return json.dumps({"messages": said}) + "\n"


@pytest.fixture
def mixable(tmp_path: Path) -> Path:
    """A folder with a recipe of two rows."""
    for module in ("aiohttp", "jinja2", "numpy", "tqdm"):
        pytest.importorskip(module, reason="needs the extra `generate`")
    (tmp_path / "a.jsonl").write_text(row("a") + row("b"))
    (tmp_path / "r.yaml").write_text("datasets: [{path: a.jsonl, sampling_size: 1.0}]\n")
    return tmp_path


MIX = ("data", "mix", "--knowledge-recipes", "r.yaml")


def test_the_second_run_in_a_folder_is_told_who_has_it(ilab: Ilab, mixable: Path) -> None:
    with hold(mixable / "generated" / "mixed") as process:
        for more in ([], ["--dry-run"]):
            done = ilab(*MIX, *more)
            assert done.returncode == 2
            assert "error[output-folder-in-use]" in done.stderr
            assert f"process {process.pid}" in done.stderr
        process.kill()
    assert ilab(*MIX).returncode == 0


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_whatever_ends_a_process_its_folder_is_free(tmp_path: Path, how: signal.Signals) -> None:
    with hold(tmp_path) as process:
        assert str(process.pid) in holder(tmp_path)
        process.send_signal(how)
    assert holder(tmp_path) == ""
    with held(tmp_path) as other:
        assert other == ""
        assert str(os.getpid()) in holder(tmp_path)


def test_every_run_begins_with_its_profile_and_hardware(ilab: Ilab, mixable: Path) -> None:
    done = ilab(*MIX, "--profile", "single-gpu")
    assert done.stderr.splitlines()[0] == "profile single-gpu (from --profile); on the CPU, 1 process"
    assert "profile cpu_only (default)" in ilab(*MIX).stderr
    assert ilab(*MIX, "--quiet").stderr == ""


def test_the_mix_of_another_generation_is_left_alone(ilab: Ilab, mixable: Path) -> None:
    assert ilab(*MIX, "--output-dir", "mixed").returncode == 0
    before = (mixable / "mixed" / "knowledge_train.jsonl").read_bytes()
    (mixable / "a.jsonl").write_text(row("c"))
    elsewhere = {"ILAB_GENERATE__OUTPUT_DIR": "gx"}
    refused = ilab(*MIX, "--output-dir", "mixed", **elsewhere)
    assert (refused.returncode, "generate.output_dir was generated, is gx" in refused.stderr) == (2, True)
    assert (mixable / "mixed" / "knowledge_train.jsonl").read_bytes() == before
    assert ilab(*MIX, **elsewhere).returncode == 0
    assert (mixable / "gx" / "mixed" / "knowledge_train.jsonl").is_file()
    assert ilab(*MIX, "--output-dir", "mixed", "--overwrite", **elsewhere).returncode == 0
    assert (mixable / "mixed" / "knowledge_train.jsonl").read_bytes() != before


def test_programs_get_one_object(ilab: Ilab, mixable: Path) -> None:
    planned = ilab(*MIX, "--json", "--dry-run")
    plan = json.loads(planned.stdout)
    assert (plan["status"], plan["settings"]["knowledge_recipes"]) == ("planned", ["r.yaml"])
    assert plan["origins"] == {"generate.mix.knowledge_recipes": "--knowledge-recipes"}
    assert "ilab_cli.backends.mix.launch" in plan["command"]
    assert not (mixable / "generated").exists()
    done = json.loads(ilab(*MIX, "--json").stdout)
    assert (done["status"], done["exit_code"], done["findings"]) == ("complete", 0, [])
    assert (done["folder"], done["figures"]) == ("generated/mixed", {"rows": {"knowledge_train.jsonl": 2}})
    assert done["next"][:3] == ["ilab", "model", "train"]
    (mixable / "r.yaml").write_text("datasets: 3\n")
    refused = ilab(*MIX, "--json")
    assert refused.returncode == 2
    told = json.loads(refused.stdout)
    assert (told["status"], told["findings"][0]["rule"]) == ("refused", "bad-value")
    assert "error[bad-value]" in refused.stderr


def test_people_are_told_what_was_made_and_what_comes_next(ilab: Ilab, mixable: Path) -> None:
    done = ilab(*MIX)
    assert done.stderr.splitlines()[-2:] == [
        "mixed data: generated/mixed",
        "next: ilab model train --data-path generated/mixed",
    ]
    assert "finished before" in ilab(*MIX).stderr


# --- trainings --------------------------------------------------------------------------------------------------------


def run_of(folder: Path, **changes: Any) -> Run:
    effective = resolve(
        environ={}, flags={"train.output_dir": str(folder), **{f"train.{name}": v for name, v in changes.items()}}
    )
    return Run("train", effective, training, effective.profile.train)


def refusals(run: Run, **how: bool) -> list[Finding]:
    return run.conflicts(**{"resume": True, **how})


def begin(folder: Path, *results: str, **changes: Any) -> None:
    with run_of(folder, **changes).begun():
        for name in results:
            (folder / name).mkdir(parents=True)


def test_a_run_without_a_result_may_be_taken_over(tmp_path: Path) -> None:
    begin(tmp_path)
    (tmp_path / "train.log").touch()
    assert refusals(run_of(tmp_path, seed=7)) == []


@pytest.mark.parametrize("result", ["checkpoints", "model", "phase00/checkpoints", "own name/model"])
def test_a_run_with_a_result_is_replaced_on_request_only(tmp_path: Path, result: str) -> None:
    begin(tmp_path, result)
    (tmp_path / "notes.txt").touch()
    assert refusals(run_of(tmp_path)) == []
    (refused,) = refusals(run_of(tmp_path, seed=7))
    assert "--overwrite" in refused.hint
    assert "seed was 42, is 7" in refused.message
    assert refusals(run_of(tmp_path), resume=False)
    other = run_of(tmp_path, seed=7)
    assert refusals(other, overwrite=True) == []
    with other.begun(overwrite=True):
        assert not (tmp_path / result).exists()
    assert (tmp_path / "notes.txt").is_file()
    assert refusals(other) == []


def test_more_epochs_go_on_where_no_step_would_have_been_another(tmp_path: Path) -> None:
    begin(tmp_path, "checkpoints", lr_schedule="constant", num_epochs=2)
    assert refusals(run_of(tmp_path, lr_schedule="constant", num_epochs=3)) == []
    (fewer,) = refusals(run_of(tmp_path, lr_schedule="constant", num_epochs=1))
    assert "num_epochs was 2, is 1" in fewer.message
    assert refusals(run_of(tmp_path, lr_schedule="constant", num_epochs=3, seed=7))
    begin(tmp_path / "cosine", "checkpoints", num_epochs=2)
    (refused,) = refusals(run_of(tmp_path / "cosine", num_epochs=3))
    assert "lr_schedule: constant" in refused.hint


def test_the_same_run_is_known_from_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path)
    begin(Path("run"), "checkpoints", data_path="d.jsonl", phases=[{"data_path": "p.jsonl"}])
    monkeypatch.chdir(tmp_path / "below")
    assert refusals(run_of(Path("../run"), data_path="../d.jsonl", phases=[{"data_path": "../p.jsonl"}])) == []
    assert refusals(run_of(Path("../run"), data_path="d.jsonl", phases=[{"data_path": "../p.jsonl"}]))
    assert refusals(run_of(Path("../run"), data_path="../d.jsonl", phases=[{"data_path": "p.jsonl"}]))


def test_machines_that_train_together_share_a_folder(tmp_path: Path) -> None:
    together = {"torchrun.nnodes": 2, "torchrun.rdzv_endpoint": "a:1"}
    first, second = (run_of(tmp_path, **together, **{"torchrun.node_rank": rank}) for rank in (0, 1))
    with first.begun():
        assert refusals(second) == []
        assert refusals(first)
        with second.begun():
            assert refusals(second)


def test_a_folder_of_another_program_is_never_touched(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    assert refusals(run_of(tmp_path), overwrite=True)
    assert not (tmp_path / ".lock").exists()


# --- evaluations ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "name"),
    [("student", "student"), ("runs/train/model", "train-model"), ("../a b/", "a_b"), ("org/name", "name")],
)
def test_each_evaluation_has_a_folder_of_its_own(tmp_path: Path, model: str, name: str) -> None:
    given = Evaluate(model=model, output_dir=str(tmp_path))
    own = [Path(evaluation.in_own_folder(given).output_dir) for _ in range(2)]
    assert all(path.parent == tmp_path and path.name.rpartition("-")[0].rpartition("-")[0] == name for path in own)
    own[0].mkdir()
    assert evaluation.in_own_folder(given).output_dir != str(own[0])
