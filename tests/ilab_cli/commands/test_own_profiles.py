from __future__ import annotations

from pathlib import Path

import pytest

from ilab_profiles import load
from ilab_profiles.yaml.read import read
from tests.ilab_cli.terminal import CTRL_C, CTRL_D, talk
from tests.programs import Ilab


def test_a_plain_name_makes_a_profile_that_is_found_by_it(
    ilab: Ilab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ILAB_PROFILE_DIR", str(tmp_path / "own"))
    changes = ["--set", "train.num-epochs=3", "--set", "train.data_path=my data"]
    done = ilab("profile", "init", "my-own/big", "--extends", "single_gpu", *changes)
    assert (done.returncode, done.stdout) == (0, "")
    made = load(str(tmp_path / "own" / "my_own" / "big.yaml"))
    assert (made.train.num_epochs, made.train.data_path, made.train.lora.enabled) == (3, "my data", True)
    assert ilab("profile", "show", "my-own/big", "-k", "train.num_epochs").stdout == "3\n"


def test_a_profile_that_exists_is_left_as_it_is(ilab: Ilab, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("# mine\n")
    done = ilab("profile", "init", "mine.yaml", "--extends", "cpu_only")
    assert done.returncode == 2
    assert "mine.yaml: error[file-exists]" in done.stderr
    assert (tmp_path / "mine.yaml").read_text() == "# mine\n"


@pytest.mark.parametrize("file", ["sub/mine.yaml", "mine.json", "mine"])
def test_a_file_to_extend_is_named_from_here(ilab: Ilab, tmp_path: Path, file: str) -> None:
    (tmp_path / "base.yaml").write_text("extends: cpu_only\ntrain: {seed: 5}\n")
    assert ilab("profile", "init", file, "--extends", "base.yaml").returncode == 0
    assert ilab("profile", "show", file, "-k", "train.seed").stdout == "5\n"


def test_a_file_to_extend_is_named_from_a_folder_that_is_yet_to_be_made(ilab: Ilab, tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("extends: cpu_only\n")
    assert ilab("profile", "init", "sub/dir/mine.yaml", "--extends", "base.yaml").returncode == 0
    assert read(tmp_path / "sub" / "dir" / "mine.yaml").data["extends"] == "../../base.yaml"


def test_what_a_new_profile_extends_is_given_once(ilab: Ilab, tmp_path: Path) -> None:
    done = ilab("profile", "init", "sub/mine.yaml", "--extends", "single_gpu", "--set", "extends=cpu_only")
    assert (done.returncode, "error[duplicate-key] extends:" in done.stderr) == (2, True)
    assert list(tmp_path.iterdir()) == []


def test_set_changes_config_yaml_in_place(ilab: Ilab, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("# mine\nprofile: {extends: single_gpu, train: {seed: 3}}  # here\n")
    done = ilab("profile", "set", "train.seed", "4")
    assert (done.returncode, done.stdout) == (0, "")
    assert path.read_text() == "# mine\nprofile: {extends: single_gpu, train: {seed: 4}}  # here\n"
    assert ilab("profile", "set", "chat.greedy-mode", "true").returncode == 0
    assert read(path).data["chat"] == {"greedy_mode": True}


def test_set_changes_a_profile_by_name_and_takes_a_negative_number(ilab: Ilab, tmp_path: Path) -> None:
    assert ilab("profile", "init", "mine", "--extends", "cpu_only").returncode == 0
    assert ilab("profile", "set", "evaluate.gpus", "-1", "--profile", "mine").returncode == 0
    assert read(tmp_path / "own" / "mine.yaml").data["evaluate"] == {"gpus": -1}


def test_set_changes_the_profile_of_ones_own_that_config_yaml_names(ilab: Ilab, tmp_path: Path) -> None:
    mine, config = tmp_path / "own" / "mine.yaml", tmp_path / "config.yaml"
    assert ilab("profile", "init", "mine", "--extends", "single_gpu").returncode == 0
    assert ilab("config", "init", "--profile", "mine").returncode == 0
    done = ilab("profile", "set", "train.num_epochs", "3")
    assert (done.returncode, done.stderr) == (0, f"set train.num_epochs in {mine}\n")
    assert read(mine).data["train"] == {"num_epochs": 3}
    assert read(config).data["profile"] == "mine"
    assert ilab("profile", "set", "chat.model", "m").stderr == "set chat.model in config.yaml\n"
    assert ilab("profile", "set", "profile", "cpu_only").stderr == "set profile in config.yaml\n"
    assert ilab("profile", "set", "train.num_epochs", "4").stderr == "set train.num_epochs in config.yaml\n"
    assert read(config).data["profile"] == {"extends": "cpu_only", "train": {"num_epochs": 4}}


def test_set_says_where_the_environment_chooses_another_profile(ilab: Ilab, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("extends: cpu_only\n")
    (tmp_path / "config.yaml").write_text("profile: mine.yaml\n")
    epochs = ("profile", "set", "train.num_epochs")
    assert "not in force: ILAB_PROFILE" in ilab(*epochs, "3", ILAB_PROFILE="single_gpu").stderr
    assert "not in force" not in ilab(*epochs, "4", ILAB_PROFILE="./mine.yaml").stderr
    assert "not in force" not in ilab("profile", "set", "chat.model", "m", ILAB_PROFILE="single_gpu").stderr
    refused = ilab(*epochs, "5", ILAB_PROFILE="nothing")
    assert (refused.returncode, "ILAB_PROFILE: error[unknown-profile]" in refused.stderr) == (2, True)
    assert read(tmp_path / "mine.yaml").data["train"] == {"num_epochs": 4}


def test_set_tells_a_value_from_a_flag(ilab: Ilab, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("extends: cpu_only\n")
    wrong = ilab("profile", "set", "evaluate.gpus", "-1", "--profiel", "mine.yaml")
    assert (wrong.returncode, "No such option: --profiel" in wrong.stderr, "--profile" in wrong.stderr) == (
        2,
        True,
        True,
    )
    assert ilab("profile", "set", "train.data_path", "--x", "--profile", "mine.yaml").returncode == 2
    assert ilab("profile", "set", "--profile", "mine.yaml", "train.data_path", "--", "--x").returncode == 0
    assert read(tmp_path / "mine.yaml").data["train"] == {"data_path": "--x"}


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("train.seed", "many", "mine.yaml:2:15: error[bad-value]"),
        ("train.lora.enabled", "false", "error[quantize-needs-lora]"),
        ("train.sed", "3", "did you mean train.seed?"),
        ("train.lora", "3", "train.lora.lora_rank"),
        ("extends", "singel_gpu", "did you mean single_gpu?"),
    ],
)
def test_set_refuses_what_would_not_be_sound(ilab: Ilab, tmp_path: Path, key: str, value: str, said: str) -> None:
    before = "extends: single_gpu\ntrain: {seed: 1}\n"
    (tmp_path / "mine.yaml").write_text(before)
    done = ilab("profile", "set", key, value, "--profile", "mine.yaml")
    assert done.returncode == 2
    assert said in done.stderr
    assert (tmp_path / "mine.yaml").read_text() == before


# --- init at a terminal -----------------------------------------------------------------------------------------------


def test_init_asks_what_matters_and_again_where_an_answer_is_refused(tmp_path: Path) -> None:
    done = talk(
        tmp_path,
        ["profile", "init"],
        [
            ("start from [cpu_only]: ", "singel_gpu\n"),
            ("start from [cpu_only]: ", "single_gpu\n"),
            ("a file for it: ", "cpu_only\n"),
            ("a file for it: ", "mine\n"),
            ("model to start from: ", "my model\n"),
            ("Data to train on [generated/mixed]: ", "\n"),
            ("GPUs (0-3, 0:3, 1,3) [0]: ", "5-3\n"),
            ("Answer again? [Y/n]: ", "\n"),
            ("model to start from: ", "my model\n"),
            ("Data to train on [generated/mixed]: ", "data\n"),
            ("GPUs (0-3, 0:3, 1,3) [0]: ", "2\n"),
        ],
    )
    assert (done.returncode, done.stdout) == (0, "")
    assert "did you mean single_gpu?" in done.shown
    assert "error[gpu-selection]" in done.shown
    data = read(tmp_path / "own" / "mine.yaml").data
    assert data["extends"] == "single_gpu"
    assert data["train"] == {"model_path": "my model", "data_path": "data", "gpus": 2}
    assert data["generate"]["gpus"] == data["evaluate"]["gpus"] == 2


def test_init_asks_only_for_what_is_not_given(tmp_path: Path) -> None:
    given = ["--extends", "cpu_only", "--set", "train.model_path=student"]
    done = talk(tmp_path, ["profile", "init", *given], [("file for it: ", "mine.yaml\n"), ("Data to train on", "\n")])
    assert done.returncode == 0
    assert read(tmp_path / "mine.yaml").data["train"] == {"model_path": "student"}
    assert "GPUs (" not in done.shown


def test_init_asks_beside_a_name_and_a_base_too_but_for_no_data_that_would_replace_phases(tmp_path: Path) -> None:
    answers = [("model to start from: ", "student\n"), ("GPUs (0-3, 0:3, 1,3) [0-7]: ", "\n")]
    done = talk(tmp_path, ["profile", "init", "mine.yaml", "--extends", "multi_gpu"], answers)
    assert (done.returncode, "Data to train on" in done.shown) == (0, False)
    assert read(tmp_path / "mine.yaml").data["train"] == {"model_path": "student"}


def test_init_asks_nothing_for_a_name_that_is_taken(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("extends: cpu_only\n")
    done = talk(tmp_path, ["profile", "init", "mine.yaml"], [])
    assert done.returncode == 2
    assert done.shown.startswith("mine.yaml: error[file-exists]")


@pytest.mark.parametrize("key", [CTRL_C, CTRL_D])
def test_whoever_gives_up_ends_with_130_and_nothing_written(tmp_path: Path, key: str) -> None:
    done = talk(tmp_path, ["profile", "init", "mine"], [("start from [cpu_only]: ", key)])
    assert done.returncode == 130
    assert "nothing was written" in done.shown
    assert list(tmp_path.iterdir()) == []
