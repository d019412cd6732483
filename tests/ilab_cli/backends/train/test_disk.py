"""The room that a training takes on disk: as estimated, and one that cannot fit is refused."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ilab_cli.backends.train import launch
from ilab_profiles import Finding, Train
from tests.ilab_cli.backends.train.conftest import train_to_end
from tests.ilab_cli.backends.train.test_training import names

pytest.importorskip("accelerate", reason="needs the train extra")
Settings = Callable[..., Train]
SMALL_FILES = 50_000
"""Bytes of the configuration, the card of adapters and so on in a checkpoint."""
WIDE = {"lora_rank": 64, "enabled": True}


@pytest.fixture(params=[False, True], ids=["head of its own", "tied head"])
def large_model(request: pytest.FixtureRequest, model_dir: Path, tmp_path: Path) -> Path:
    """The tiny model, wide enough for its weights to count: 0.5 million of them."""
    import shutil

    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    folder = tmp_path / "model"
    shutil.copytree(model_dir, folder)
    config = AutoConfig.from_pretrained(model_dir)
    config.hidden_size, config.intermediate_size, config.tie_word_embeddings = 128, 384, request.param
    config.head_dim = 64
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder


def estimate(train: Train) -> Any:
    from ilab_cli.backends.train import disk
    from ilab_cli.backends.train.data.dataset import examine
    from ilab_cli.backends.train.plan import BatchPlan

    plan = BatchPlan(train, examine(train).lengths)
    return disk.Room(plan, disk.weights(train), disk.tokenizer_size(train), train.keep_checkpoints)


ENGINES = [
    {},
    {"lora": WIDE},
    {"master_weights": "bf16", "precision": "bf16"},
    pytest.param(
        {"optimizer": "adamw_8bit"},
        marks=pytest.mark.skipif(not importlib.util.find_spec("bitsandbytes"), reason="needs the quantize extra"),
    ),
    {"lora": WIDE | {"target_modules": ["q_proj", "down_proj"]}, "keep_checkpoints": None},
    pytest.param(
        {"deepspeed": {"enabled": True}},
        marks=pytest.mark.skipif(not importlib.util.find_spec("deepspeed"), reason="needs the deepspeed extra"),
    ),
]


@pytest.mark.parametrize("engine", ENGINES, ids=["full", "lora", "bf16", "8-bit", "lora on some layers", "deepspeed"])
def test_it_takes_what_was_estimated(settings: Settings, large_model: Path, engine: dict[str, Any]) -> None:
    from ilab_cli.backends.train.files import written

    train = settings(model_path=str(large_model), **{"save_samples": 8, "keep_checkpoints": 2, **engine})
    told = estimate(train)
    train_to_end(train)
    run = Path(train.output_dir)
    assert len(names(train)) == told.kept == (train.keep_checkpoints or 5)
    newest = run / "checkpoints" / names(train)[-1]
    assert written(newest / "optimizer") == pytest.approx(told.optimizer, rel=0.1, abs=SMALL_FILES)
    assert written(newest) - written(newest / "optimizer") == pytest.approx(told.checkpoint, rel=0.1, abs=SMALL_FILES)
    log = (run / "train.log").stat().st_size
    assert written(run) - log == pytest.approx(told.at_end, rel=0.1, abs=SMALL_FILES * (told.kept + 1))
    assert told.at_most >= told.at_end


def test_checkpoints_of_adapters_hold_adapters_only(settings: Settings) -> None:
    from safetensors import safe_open

    train = settings(lora={"enabled": True}, num_epochs=1)
    train_to_end(train)
    checkpoint = Path(train.output_dir) / "checkpoints" / names(train)[0]
    weights = [file.name for file in checkpoint.iterdir() if file.suffix in (".safetensors", ".bin", ".pt")]
    assert weights == ["adapter_model.safetensors"]
    with safe_open(checkpoint / "adapter_model.safetensors", "np") as file:
        assert {name.split(".lora_")[-1] for name in file.keys()} == {"A.weight", "B.weight"}  # noqa: SIM118


def test_sizes_are_told_without_data_and_without_a_model(tmp_path: Path) -> None:
    """Qwen 2.5 0.5B has 494,032,768 parameters, its head tied; the figures are those of Llama's layers by hand."""
    from ilab_profiles.estimate.architecture import read
    from ilab_profiles.estimate.disk import Weights, disk, weights

    about = {"model_type": "qwen2", "hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24}
    about |= {"num_attention_heads": 14, "num_key_value_heads": 2, "vocab_size": 151936, "tie_word_embeddings": True}
    (tmp_path / "config.json").write_text(json.dumps(about))
    whole = Weights(494032768, 494032768)
    assert weights(Train(), read(tmp_path)) == whole
    full = disk(Train(), whole)
    assert (full.checkpoint, full.optimizer, full.model) == pytest.approx(
        (4 * whole.trained, 8 * whole.trained, 0), rel=1e-3
    )
    eight = disk(Train.model_validate({"optimizer": "adamw_8bit"}), whole)
    assert eight.optimizer == pytest.approx(2 * whole.trained, rel=0.1)
    lora = Train.model_validate({"lora": {"enabled": True, "target_modules": ["q_proj"], "lora_rank": 4}})
    few = weights(lora, read(tmp_path))
    assert few == (494032768, 24 * 4 * 2 * 896)
    assert disk(lora, few).model == pytest.approx(4 * 494032768, rel=1e-3)
    assert disk(lora, few, tokenizer=10**6).checkpoint == disk(lora, few).checkpoint + 10**6


def test_the_sizes_of_a_known_model(settings: Settings, model_dir: Path, tmp_path: Path) -> None:
    """Llama 2 7B has 6,738,415,616 parameters, and PEFT gives it 19,988,480 more at rank 8."""
    from transformers import LlamaConfig

    from ilab_cli.backends.train.disk import weights

    LlamaConfig().save_pretrained(tmp_path / "llama")
    assert weights(settings(model_path=str(tmp_path / "llama"))) == (6738415616, 6738415616)
    adapters = settings(model_path=str(tmp_path / "llama"), lora={"enabled": True, "lora_rank": 8})
    assert weights(adapters) == (6738415616, 19988480)


def about_space(train: Train) -> list[Finding]:
    return [finding for finding in launch.preflight(train) if finding.rule == "disk-space"]


def test_a_run_that_cannot_fit_is_refused(settings: Settings, small_disk: Path) -> None:
    train = settings(output_dir=str(small_disk / "run"), save_samples=8)
    told = estimate(train)
    assert told.at_most < 2**21, "it fits"
    assert about_space(train) == []

    long = settings(output_dir=str(small_disk / "run"), num_epochs=20, save_samples=8)
    assert estimate(long).at_most > 2**21
    (finding,) = about_space(long)
    assert finding.severity == "error"
    assert "55 checkpoints of 0.2 MB each" in finding.message
    keep = int(finding.hint.split()[1])
    assert finding.hint.startswith(f"--keep-checkpoints {keep} fits")
    assert about_space(long.model_copy(update={"keep_checkpoints": keep})) == []
    assert about_space(long.model_copy(update={"keep_checkpoints": keep + 1})) != []
    train_to_end(long.model_copy(update={"keep_checkpoints": keep}))

    phases = settings(output_dir=str(small_disk / "phases"), save_samples=8, keep_checkpoints=keep, phases=[{}, {}, {}])
    assert about_space(phases), "what the phases leave adds up"


def test_what_the_run_has_written_counts_as_room(settings: Settings, small_disk: Path) -> None:
    train = settings(output_dir=str(small_disk / "run"), save_samples=8)
    train_to_end(train)
    free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
    (small_disk / "filler").write_bytes(bytes(max(0, free - 500_000)))
    more = train.model_copy(update={"num_epochs": 3, "save_samples": 0})
    assert about_space(more) == []
    assert about_space(train.model_copy(update={"output_dir": str(small_disk / "other")}))
    (small_disk / "filler").write_bytes(bytes(max(0, free - 10_000)))
    assert about_space(train) == [], "it is finished"


def test_a_model_of_unknown_size_is_not_refused_for_that(settings: Settings, model_dir: Path, tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "unknown"
    shutil.copytree(model_dir, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "vit"}))
    assert about_space(settings(model_path=str(folder))) == []
