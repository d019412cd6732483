"""Trainings with FSDP: the same curve as without, in parts that are put together again, stopped and started again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ilab_profiles import Train
from tests.ilab_cli.backends.train.conftest import losses, train_to_end
from tests.ilab_cli.backends.train.test_training import difference, kill_at, plain_loop

pytest.importorskip("accelerate", reason="needs the train extra")
Settings = Callable[..., Train]


@pytest.mark.parametrize("fsdp", [{}, {"fsdp_cpu_offload": True, "reshard_after_forward": False}])
def test_fsdp_trains_as_ddp_does(settings: Settings, fsdp: dict[str, Any]) -> None:
    train = settings(num_gpus=2, fsdp={"enabled": True, **fsdp})
    train_to_end(train)
    assert losses(train) == pytest.approx(plain_loop(train), rel=1e-4)
    assert difference(Path(train.output_dir) / "checkpoints" / "samples_0000044", Path(train.output_dir) / "model") == 0


def test_fsdp_killed_and_started_again(settings: Settings) -> None:
    train = settings(num_gpus=2, num_epochs=8, save_samples=40, fsdp={"enabled": True})
    kill_at("checkpoints/samples_0000044", train)
    assert 0 < len(losses(train)) < 24, "the run was stopped before its end"
    assert "going on after step" in train_to_end(train)
    assert losses(train) == pytest.approx(plain_loop(train), rel=1e-3)


@pytest.mark.parametrize("more", [{}, {"precision": "bf16"}, {"deepspeed": {"quantize_dtype": "nf4"}}])
def test_adapters_with_fsdp(settings: Settings, more: dict[str, Any], tmp_path: Path) -> None:
    if "deepspeed" in more:
        pytest.importorskip("bitsandbytes", reason="needs the quantize extra")
    lora = {"enabled": True, "lora_dropout": 0.0}
    train = settings(num_gpus=2, lora=lora, fsdp={"enabled": True}, gradient_checkpointing=True, **more)
    train_to_end(train)
    alone = train.model_copy(
        update={
            "num_gpus": 1,
            "fsdp": train.fsdp.model_copy(update={"enabled": False}),
            "output_dir": str(tmp_path / "x"),
        }
    )
    train_to_end(alone)
    assert losses(train) == pytest.approx(losses(alone), rel=1e-3 if "precision" in more else 1e-4)
    run = Path(train.output_dir)
    assert difference(run / "checkpoints" / "samples_0000044", run / "model") < (1 if "deepspeed" in more else 1e-4)
