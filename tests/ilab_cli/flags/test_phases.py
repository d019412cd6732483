"""A training in phases from the command line: flags and config.yaml go over what the phases of the profile say."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from ilab_profiles.yaml.read import parse
from tests.programs import Ilab


def launched(out: str) -> dict[str, Any]:
    """The settings that the command of a dry run carries."""
    words = shlex.split(out.splitlines()[-1])
    settings: dict[str, Any] = json.loads(words[words.index("--settings") + 1])
    return settings


def test_phases_can_be_run_by_hand_as_the_proposal_does(ilab: Ilab) -> None:
    assert ilab("config", "init", "--profile", "multi_gpu").returncode == 0
    by_hand = "--model-dir=./phase00/model --data-dir=./phase00/data --epochs=3 --learning-rate=1e-5"
    done = ilab("model", "train", *by_hand.split(), "--dry-run")
    train = launched(done.stdout)
    given = {"model_path": "./phase00/model", "data_path": "./phase00/data", "num_epochs": 3, "learning_rate": 1e-5}
    assert given.items() <= train.items()
    assert (train["effective_batch_size"], "phases" in train) == (128, False)
    assert "  phases: []  # --data-path\n" in done.stdout
    assert "tokens_per_batch: 524288 tokens" in done.stdout
    assert "--data-path: warning[phases-replaced] train.data_path: " in done.stderr
    assert "profile multi_gpu" in done.stderr
    assert "error[data-not-found] train.data_path: no such file or folder: phase00/data" in done.stderr


def test_other_flags_hold_in_every_phase(ilab: Ilab) -> None:
    done = ilab("model", "train", "--profile", "multi_gpu", "--epochs=3", "--dry-run")
    first, second = launched(done.stdout)["train"]["phases"]
    assert (first["num_epochs"], second["num_epochs"], second["effective_batch_size"]) == (3, 3, 3840)
    assert done.stdout.count("num_epochs: 3  # --num-epochs\n") == 3
    assert "tokens_per_batch: 15728640 tokens" in done.stdout
    assert "profile multi_gpu (line " in done.stderr.partition("error[data-not-found] train.phases.1.data_path")[0]
    assert "phases-replaced" not in done.stderr


@pytest.mark.parametrize("data", ["", ", data_path: mine.jsonl"])
def test_config_yaml_goes_over_the_phases_of_the_profile_it_extends(ilab: Ilab, tmp_path: Path, data: str) -> None:
    text = f"profile:\n  extends: multi_gpu\n  train: {{num_epochs: 1{data}}}\n"
    (tmp_path / "config.yaml").write_text(text)
    done = ilab("model", "train", "--dry-run")
    phases = parse(done.stdout.partition("\n\n")[0]).data["train"]["phases"]
    assert [phase["num_epochs"] for phase in phases] == ([] if data else [1, 1])
    assert ("config.yaml:3:37: warning[phases-replaced]" in done.stderr) is bool(data)


def test_phases_may_be_repeated_or_written_as_a_list(ilab: Ilab) -> None:
    first, second = "{name: a, data_path: x}", "{name: b, data_path: y, num_epochs: 2}"
    repeated = ilab("model", "train", "--phases", first, "--phases", second, "--dry-run")
    listed = ilab("model", "train", "--phases", f"[{first}, {second}]", "--dry-run")
    assert launched(repeated.stdout) == launched(listed.stdout)
    assert [phase["data_path"] for phase in launched(listed.stdout)["phases"]] == ["x", "y"]


def test_help_knows_that_data_take_the_place_of_phases(ilab: Ilab) -> None:
    asked = ("model", "train", "--profile", "multi_gpu", "--help")
    assert "[unset, --data-path]" in ilab(*asked, "--data-path", "mine.jsonl").stdout
    assert "[unset, ILAB_TRAIN__DATA_PATH]" in ilab(*asked, ILAB_TRAIN__DATA_PATH="mine.jsonl").stdout
    assert "[unset, --data-path]" not in ilab(*asked).stdout


def test_help_shows_in_phases_what_holds_there(ilab: Ilab, tmp_path: Path) -> None:
    asked = ("model", "train", "--profile", "multi_gpu", "--help")
    typed, variable = ilab(*asked, "--epochs=3").stdout, ilab(*asked, ILAB_TRAIN__NUM_EPOCHS="3").stdout
    for page in (typed, variable):
        assert page.count("num_epochs: 3,") == 2
        assert "effective_batch_size: 3840" in " ".join(page.split())


def test_whoever_edits_a_profile_is_told_that_its_phases_go(ilab: Ilab, tmp_path: Path) -> None:
    done = ilab("profile", "init", "./mine.yaml", "--extends", "multi_gpu", "--set", "train.data_path=x.jsonl")
    assert (done.returncode, "warning[phases-replaced]" in done.stderr) == (0, True)
    (tmp_path / "config.yaml").write_text("profile: multi_gpu\n")
    assert "warning[phases-replaced]" in ilab("profile", "set", "train.data_path", "x.jsonl").stderr
