"""A training from Python: the same run as the command's."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ilab_cli
from ilab_cli.output import UNFINISHED
from ilab_profiles import InputError, Profile, Train
from ilab_profiles.yaml.read import read
from tests.ilab_cli.backends.train.conftest import ROOT, metrics

pytest.importorskip("accelerate", reason="needs the train extra")
Settings = Callable[..., Train]


def example() -> str:
    """The example of the README."""
    section = (ROOT / "README.md").read_text(encoding="utf-8").partition("\n## From Python\n")[2]
    return next(str(text) for text in re.findall(r"```python\n(.*?)```", section, re.DOTALL) if "ilab_cli" in text)


def test_the_example_trains(settings: Settings, capfd: pytest.CaptureFixture[str]) -> None:
    train = settings()
    names: dict[str, Any] = {"profile": Profile(train=train)}
    exec(example(), names)
    trained = names["trained"]
    assert trained.model == Path(train.trained_model)
    assert (trained.model / "model.safetensors").is_file()
    assert list(trained.metrics) == metrics(train)
    assert trained.metrics[-1]["loss"] < trained.metrics[0]["loss"]
    out, err = capfd.readouterr()
    assert out == f"{trained.model} {trained.metrics[-1]['loss']}\n"
    assert "training on 22 conversations" in err

    told = read(Path(train.output_dir) / "run.yaml").data
    assert (told["status"], told["command"]) == ("complete", "ilab_cli.train(...)")
    assert told["settings"]["learning_rate"] == train.learning_rate
    assert told["origins"]["train.learning_rate"] == "Python"
    compared = told["predicted_and_measured"]
    assert compared["memory"]["measured"] == max(row["memory"] for row in trained.metrics)
    assert compared["memory"]["low"] < compared["memory"]["predicted"] < compared["memory"]["high"]
    assert (compared["time"]["after_step"], compared["time"]["predicted"]) == (3, None)
    assert compared["time"]["measured"] > sum(row["seconds"] for row in trained.metrics[3:])
    assert compared["disk"]["predicted"] == pytest.approx(compared["disk"]["measured"], rel=0.3)
    assert ilab_cli.train(train) == trained, "nothing is left to do"


def test_another_run_is_refused_its_folder_or_replaces_it(settings: Settings) -> None:
    first = ilab_cli.train(settings(num_epochs=1))
    with pytest.raises(InputError, match="num_epochs was 1, is 2"):
        ilab_cli.train(settings())
    assert len(ilab_cli.train(settings(resume=False), overwrite=True).metrics) == 2 * len(first.metrics)


def test_what_cannot_work_is_refused_before_anything_is_written(settings: Settings, tmp_path: Path) -> None:
    train = settings(data_path=str(tmp_path / "none.jsonl"), model_path=str(tmp_path / "none"))
    with pytest.raises(InputError) as caught:
        ilab_cli.train(train)
    assert {"data-not-found", "model-not-found"} <= {finding.rule for finding in caught.value.findings}
    assert not Path(train.output_dir).exists()


def test_a_training_that_fails_says_why(settings: Settings) -> None:
    train = settings(phases=[{"name": "one", "num_epochs": 1}, {"name": "two", "learning_rate": 1e30}], warmup_steps=0)
    with pytest.raises(RuntimeError, match=r"^ArithmeticError: at step \d the loss is"):
        ilab_cli.train(train)
    assert read(Path(train.output_dir) / "run.yaml").data["status"] == "failed"


def test_a_training_that_is_out_of_time_ends_the_program_as_the_command_does(settings: Settings) -> None:
    train = settings(num_epochs=50, max_hours=1e-6)
    with pytest.raises(SystemExit) as caught:
        ilab_cli.train(train)
    assert caught.value.code == UNFINISHED
    assert read(Path(train.output_dir) / "run.yaml").data["status"] == "interrupted"


@pytest.mark.parametrize("given", [None, "single_gpu", Profile()], ids=["nothing", "a name", "a profile"])
def test_what_is_no_settings_of_a_training_is_told(given: Any) -> None:
    with pytest.raises(TypeError, match=r"must be an ilab_profiles.Train, not .*profile.train"):
        ilab_cli.train(given)


def test_only_the_two_names_are_there() -> None:
    assert {"train", "Trained"} <= {*dir(ilab_cli)}
    with pytest.raises(AttributeError, match="'ilab_cli' has no attribute 'trian'"):
        ilab_cli.__getattr__("trian")
