from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from ilab_cli.backends.mix import launch
from ilab_cli.runs.manifest import Run
from ilab_profiles import InputError, resolve
from ilab_profiles.yaml.read import parse
from tests.programs import Ilab


def test_a_dry_run_shows_settings_with_their_origin_and_writes_nothing(ilab: Ilab, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("profile:\n  extends: cpu_only\n  train: {seed: 7}\n")
    done = ilab("model", "train", "--dry-run", "--epochs=3", ILAB_TRAIN__WARMUP_STEPS="2")
    settings, _, command = done.stdout.partition("\n\n")
    train = parse(settings).data["train"]
    assert (train["num_epochs"], train["seed"], train["warmup_steps"], train["gpus"]) == (3, 7, 2, -1)
    comments = {line.split(":")[0].strip(): line.partition("  # ")[2] for line in settings.splitlines()}
    assert comments["num_epochs"] == "--num-epochs"
    assert comments["seed"] == "config.yaml:3:17"
    assert comments["warmup_steps"] == "ILAB_TRAIN__WARMUP_STEPS"
    assert comments["gpus"].startswith("profile cpu_only (line ")
    assert "ilab_cli.backends.train.worker" in shlex.split(command)
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]
    assert "# world_size: 1 process  = num_gpus" in settings + command


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["model", "train", "--num-epochs", "many"], "--num-epochs: error[bad-value]"),
        (["model", "train", "--quantize-dtype", "nf4"], "error[quantize-needs-lora]"),
        (["model", "train", "--cpu-offload-optimizer"], "error[optimizer-offload-needs-deepspeed]"),
        (["model", "train", "--profile", "multi-gpo"], "--profile: error[unknown-profile]"),
        (["model", "train", "--profile", "multi-gpo"], "did you mean multi_gpu?"),
        (["model", "train", "--devide", "cuda"], "--device"),
        (["model", "train"], "train.data_path"),
        (["model", "evaluate"], "--benchmarks mmlu"),
    ],
)
def test_bad_input_ends_with_2_and_a_clear_message(ilab: Ilab, tmp_path: Path, arguments: list[str], said: str) -> None:
    done = ilab(*arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_findings_in_config_yaml_stand_at_their_place(ilab: Ilab, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("generel: {}\nserve:\n  max_ctx_size: big\nprofile: cpu_only\n")
    done = ilab("model", "train")
    assert done.returncode == 2
    assert "config.yaml:1:1: error[unknown-key]" in done.stderr
    assert "did you mean general?" in done.stderr
    assert "config.yaml:3:17: error[bad-value]" in done.stderr


def test_help_loads_no_engine() -> None:
    code = """
import sys
from ilab_cli.app import main
sys.argv = ["ilab", "--help"]
try:
    main()
except SystemExit:
    print(*sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert not set(done.stdout.split()) & {"torch", "transformers", "accelerate", "lm_eval", "numpy", "rich"}


def test_every_spelling_of_the_proposal_works(ilab: Ilab, tmp_path: Path) -> None:
    (tmp_path / "training_config.json").write_text('{"max_seq_len": 512, "max_batch_len": 1024}')
    (tmp_path / "ds_config.json").write_text("{}")
    line = """model train --model-dir=phase00/model --data-dir=phase00/data --device=cuda --gpus=0:4 --epochs=15
        --config=training_config.json --accelerator=deepspeed --deepspeed_config=ds_config.json
        --model-repo=instructlab/granite-7b-lab --effective-batch-size=50 --dry-run"""
    train = parse(ilab(*line.split()).stdout.partition("\n\n")[0]).data["train"]
    assert (train["model_path"], train["data_path"], train["gpus"]) == ("phase00/model", "phase00/data", "0-4")
    assert (train["num_epochs"], train["max_seq_len"], train["deepspeed"]["enabled"]) == (15, 512, True)
    assert train["deepspeed"]["deepspeed_config"] == "ds_config.json"
    line = """model evaluate --benchmarks=mmlu --gpus=1-2 --data-dir=mixed --tasks=["mmlu.algebra","mmlu.law"]
        --input-dir=phase10/model --output-dir=phase10/data --dry-run"""
    evaluate = parse(ilab(*line.split()).stdout.partition("\n\n")[0]).data["evaluate"]
    assert (evaluate["benchmarks"], evaluate["gpus"], evaluate["input_dir"]) == (["mmlu"], "1-2", "phase10/model")
    assert evaluate["mmlu"]["tasks"] == ["mmlu.algebra", "mmlu.law"]
    assert evaluate["mmlu"]["data_dir"] == "mixed"


def test_lists_may_be_repeated_or_written_with_commas(ilab: Ilab) -> None:
    for arguments in (["--tasks", "a", "--tasks=b,c"], ["--tasks", "[a, b, c]"], ["--tasks=a,b,c"]):
        shown = ilab("model", "evaluate", "--benchmarks", "mmlu", *arguments, "--dry-run").stdout
        assert parse(shown.partition("\n\n")[0]).data["evaluate"]["mmlu"]["tasks"] == ["a", "b", "c"]


def test_a_file_of_settings_goes_over_the_environment_and_under_flags(ilab: Ilab, tmp_path: Path) -> None:
    (tmp_path / "more.yaml").write_text("train: {num_epochs: 7, seed: 1}\n")
    done = ilab("model", "train", "--config", "more.yaml", "--seed=2", "--dry-run", ILAB_TRAIN__NUM_EPOCHS="9")
    train = parse(done.stdout.partition("\n\n")[0]).data["train"]
    assert (train["num_epochs"], train["seed"]) == (7, 2)
    (tmp_path / "bad.yaml").write_text("num_epochs: 7\nsede: 1\n")
    done = ilab("model", "train", "--config", "bad.yaml", "--dry-run")
    assert done.returncode == 2
    assert "bad.yaml:2:1: error[unknown-key] train.sede" in done.stderr
    assert "did you mean seed?" in done.stderr


def test_every_unknown_flag_is_reported_at_once_and_none_is_guessed(ilab: Ilab) -> None:
    done = ilab("model", "train", "--devide=cuda", "--num-epoch", "3", "--zzz")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("error[unknown-flag]") == 3
    assert "did you mean --device?" in done.stderr
    assert "did you mean --num-epochs?" in done.stderr


@pytest.mark.parametrize(
    ("flag", "hint"),
    [
        ("--no-lor", "did you mean --no-lora?"),
        ("--no-packing", "did you mean --packing none?"),
        ("--LORA", "did you mean --lora?"),
        ("--lora-alfa", "did you mean --lora-alpha?"),
        ("--lr", "did you mean --learning-rate?"),
        ("--bogus", "--help-all shows every flag"),
        ("--tasks", "--help-all shows every flag"),
        ("--lora-r", "did you mean --lora-rank?"),
    ],
)
def test_only_a_flag_that_is_surely_meant_is_the_hint(ilab: Ilab, flag: str, hint: str) -> None:
    assert f"hint: {hint}\n" in ilab("model", "train", flag, "3").stderr


def test_the_log_level_of_the_config_file_is_obeyed(ilab: Ilab, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("general: {log_level: LOUD}\n")
    assert "config.yaml:1:22: error[bad-value]" in ilab("model", "train", "--dry-run").stderr


def test_a_profile_that_the_environment_names_is_refused_at_its_variable(ilab: Ilab) -> None:
    done = ilab("model", "train", ILAB_PROFILE="multi-gpo")
    assert done.returncode == 2
    assert "ILAB_PROFILE: error[unknown-profile]" in done.stderr


@pytest.mark.parametrize("name", ["a file/below", "long" * 100], ids=["below a file", "a long name"])
def test_a_run_folder_that_cannot_be_made_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "a file").touch()
    effective = resolve(environ={}, flags={"generate.mix.output_dir": str(tmp_path / name)})
    run = Run("generate.mix", effective, launch, effective.profile.generate)
    assert run.conflicts(resume=True) == []
    with pytest.raises(InputError, match="unwritable-file"), run.begun():
        pass


def test_a_path_may_begin_at_home(ilab: Ilab, tmp_path: Path) -> None:
    done = ilab("model", "train", "--data-path=~/d", "--output-dir=~/run", "--dry-run", HOME=str(tmp_path))
    assert f'"output_dir": "{tmp_path}/run"' in done.stdout
    assert f"{tmp_path}/d" in done.stderr
    assert not (tmp_path / "~").exists()


@pytest.mark.parametrize("command", ["model train --dry-run", "data generate --dry-run", "config init", "config show"])
def test_an_empty_profile_name_is_refused(ilab: Ilab, tmp_path: Path, command: str) -> None:
    """As an unset variable in a script leaves it."""
    how = {"ILAB_PROFILE": ""} if command == "config show" else {}
    done = ilab(*command.split(), *([] if how else ["--profile", ""]), **how)
    assert (done.returncode, "error[unknown-profile]" in done.stderr) == (2, True)
    assert list(tmp_path.iterdir()) == []
