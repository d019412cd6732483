"""Trainings with DeepSpeed: the same curve as without, stopped and started again, and a file of one's own honoured."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ilab_cli.backends.train.launch import preflight
from ilab_profiles import Train
from ilab_profiles.zero import configuration
from tests.ilab_cli.backends.train.conftest import losses, train_to_end
from tests.ilab_cli.backends.train.test_training import difference, kill_at, plain_loop

Settings = Callable[..., Train]
needs_deepspeed = pytest.mark.skipif(not importlib.util.find_spec("deepspeed"), reason="needs the deepspeed extra")


@needs_deepspeed
def test_zero_2_trains_as_ddp_does(settings: Settings) -> None:
    train = settings(num_gpus=2, deepspeed={"enabled": True})
    train_to_end(train)
    assert losses(train) == pytest.approx(plain_loop(train), rel=1e-4)
    assert difference(Path(train.output_dir) / "checkpoints" / "samples_0000044", Path(train.output_dir) / "model") == 0


@needs_deepspeed
def test_zero_3_killed_and_started_again(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "zero3.json"
    file.write_text(json.dumps({"zero_optimization": {"stage": 3}, "train_batch_size": 99}))
    train = settings(
        num_gpus=2, num_epochs=8, save_samples=40, deepspeed={"enabled": True, "deepspeed_config": str(file)}
    )
    kill_at("checkpoints/samples_0000044", train)
    assert 0 < len(losses(train)) < 24, "the run was stopped before its end"
    assert "going on after step" in train_to_end(train)
    assert losses(train) == pytest.approx(plain_loop(train), rel=1e-3)
    assert difference(Path(train.output_dir) / "checkpoints" / "samples_0000176", Path(train.output_dir) / "model") == 0


def test_the_configuration(settings: Settings, tmp_path: Path) -> None:
    offload = {"enabled": True, "zero_stage": 3, "cpu_offload_optimizer": True, "cpu_offload_params": True}
    config = configuration(settings(deepspeed=offload, max_grad_norm=2.0))
    assert config["zero_optimization"]["offload_optimizer"] == {"device": "cpu"}
    assert config["zero_optimization"]["offload_param"] == {"device": "cpu"}
    assert config["gradient_clipping"] == 2.0
    file = tmp_path / "ds.json"
    file.write_text(json.dumps({"zero_optimization": {"stage": "auto", "overlap_comm": False}, "train_batch_size": 5}))
    config = configuration(settings(deepspeed={"enabled": True, "zero_stage": 1, "deepspeed_config": str(file)}))
    assert config["zero_optimization"]["stage"] == 1
    assert config["zero_optimization"]["overlap_comm"] is False
    assert "train_batch_size" not in config


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{\n "a": }', ":2:7: error[deepspeed-config] train.deepspeed.deepspeed_config: not JSON"),
        ("[]", ":1: error[deepspeed-config] train.deepspeed.deepspeed_config: not a JSON object"),
        ('{"optimizer": {}}', ": error[deepspeed-config] train.deepspeed.deepspeed_config: it sets optimizer"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(settings: Settings, tmp_path: Path, text: str, expected: str) -> None:
    file = tmp_path / "ds.json"
    file.write_text(text)
    findings = preflight(settings(deepspeed={"enabled": True, "deepspeed_config": str(file)}))
    assert [finding for finding in map(str, findings) if finding.startswith(f"{file}{expected}")]
