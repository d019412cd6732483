"""The validation loss of real trainings: right, the same however a run is split or stopped, and what it is good for."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ilab_cli.backends.train import launch
from ilab_cli.backends.train.validation import settings_of
from ilab_cli.output import UNFINISHED
from ilab_profiles import Train
from tests.ilab_cli.backends.train.conftest import conversation, metrics, train_to_end, write_jsonl
from tests.ilab_cli.backends.train.test_training import names

pytest.importorskip("accelerate", reason="needs the train extra")
Settings = Callable[..., Train]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Twenty-two conversations to train on, and others to validate with, of two kinds."""
    folder = tmp_path / "data"
    folder.mkdir()
    write_jsonl(folder / "train_skills.jsonl", [conversation(number) for number in range(22)])
    write_jsonl(folder / "test_skills.jsonl", [conversation(number) for number in range(30, 37)])
    write_jsonl(folder / "test_knowledge.jsonl", [conversation(number) for number in range(40, 43)])
    return folder


def valid(train: Train) -> dict[int, float]:
    return {row["step"]: row["valid_loss"] for row in metrics(train) if "valid_loss" in row}


def plain_loss(model: Path, train: Train) -> float:
    """The loss of a model on the validation data, one conversation after the other."""
    import torch
    from transformers import AutoModelForCausalLM

    from ilab_cli.backends.train.data.dataset import examine

    network = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
    parts = []
    for samples in map(examine, settings_of(train)):
        for number in range(len(samples)):
            ids, learned = samples[number]
            tokens = torch.tensor(ids, dtype=torch.long)[None]
            with torch.no_grad():
                logits = network(tokens).logits[0, :-1]
            each = torch.nn.functional.cross_entropy(logits, tokens[0, 1:], reduction="none")
            parts.append(each[torch.tensor(learned)[1:]])
    return float(torch.cat(parts).mean())


def progress(train: Train, name: str) -> Any:
    return json.loads((Path(train.output_dir) / "checkpoints" / name / "training.json").read_text())


def test_the_loss_of_every_checkpoint_and_the_best_one(settings: Settings, data: Path, tmp_path: Path) -> None:
    strange = [{"role": "user", "content": "Say."}, {"role": "assistant", "content": "xqzjv kwxzq jzvx QZX"}]
    write_jsonl(data / "test_skills.jsonl", [{"messages": strange}] * 3)
    train = settings(data_path=str(data), save_samples=16, num_epochs=3, keep_checkpoints=1)
    err = train_to_end(train)
    assert list(valid(train)) == [2, 5, 7, 9]
    best, last = min(valid(train), key=valid(train).__getitem__), 9
    assert best != last, "what the model learns is no help with words that it never saw"
    kept = [name for name in names(train) if name != "best"]
    assert [progress(train, name)["step"] for name in kept] == [best, last]
    assert [progress(train, name)["valid_loss"] for name in kept] == [valid(train)[best], valid(train)[last]]
    assert os.readlink(tmp_path / "run" / "checkpoints" / "best") == kept[0]
    for name, step in zip(kept, (best, last), strict=True):
        assert valid(train)[step] == pytest.approx(plain_loss(tmp_path / "run" / "checkpoints" / name, train), rel=1e-5)
    assert f"validation loss {valid(train)[last]:.4f}" in err
    outcome = launch.outcome(train)
    assert outcome.figures["best_step"] == best
    assert outcome.figures["best_valid_loss"] == valid(train)[best]
    assert outcome.made["best checkpoint"] == str(tmp_path / "run" / "checkpoints" / "best")
    assert f"the lowest {valid(train)[best]:.4f} at step {best}" in outcome.lines[1]


@pytest.mark.parametrize("lora", [{}, {"lora": {"enabled": True, "lora_dropout": 0.2}}], ids=["full", "lora"])
def test_stopped_at_every_step_it_is_the_same_and_changes_nothing(
    settings: Settings, data: Path, tmp_path: Path, lora: dict[str, Any]
) -> None:
    common = {"data_path": str(data), "num_epochs": 1, **lora}
    without = settings(output_dir=str(tmp_path / "without"), validate_samples=0, **common)
    train_to_end(without)
    assert valid(without) == {}
    assert not (tmp_path / "without" / "validation").exists()

    train = settings(num_gpus=2, max_hours=1e-6, validate_samples=10, **common)
    for _ in range(2):
        train_to_end(train, UNFINISHED)
    train_to_end(train)
    assert list(valid(train)) == [2, 3]

    processes = 2 if lora else 1  # dropout depends on the number of processes
    undisturbed = settings(num_gpus=processes, output_dir=str(tmp_path / "undisturbed"), validate_samples=10, **common)
    train_to_end(undisturbed)
    assert valid(train) == pytest.approx(valid(undisturbed), rel=1e-4)
    if not lora:
        assert [row["loss"] for row in metrics(train)] == pytest.approx(
            [row["loss"] for row in metrics(without)], rel=1e-4
        )


def found(settings: Settings, **changes: Any) -> list[str]:
    return [Path(item.data_path).name for item in settings_of(settings(**changes))]


def test_which_data_are_validated_with(settings: Settings, data: Path) -> None:
    both = ["test_knowledge.jsonl", "test_skills.jsonl"]
    skills = ["test_skills.jsonl"]
    assert found(settings, data_path=str(data)) == skills, "of the kinds that are trained on"
    assert found(settings, data_path=str(data / "train_skills.jsonl")) == skills
    mixed = data / "mixed"
    mixed.mkdir()
    for kind in ("knowledge", "skills"):
        write_jsonl(mixed / f"{kind}_train.jsonl", [conversation(1)])
    assert found(settings, data_path=str(mixed)) == both
    assert found(settings, data_path=str(mixed / "skills_train.jsonl")) == skills
    other = write_jsonl(data / "own.jsonl", [conversation(1)])
    assert found(settings, data_path=str(other)) == both
    assert found(settings, data_path=str(data / "test_skills.jsonl")) == ["test_knowledge.jsonl"], (
        "not what is trained on"
    )
    assert found(settings, data_path=str(data), valid_path=str(data)) == both
    assert found(settings, data_path=str(data), valid_path=str(other)) == ["own.jsonl"]
    assert found(settings, data_path=str(data), valid_path=str(other), validate_samples=0) == []
    assert found(settings) == []


def test_validation_data_that_cannot_be_used(settings: Settings, data: Path, tmp_path: Path) -> None:
    train = settings(data_path=str(data))
    assert launch.preflight(train) == []
    write_jsonl(data / "test_skills.jsonl", [conversation(1), {"messages": 3}])
    (finding,) = launch.preflight(train)
    assert (finding.rule, finding.path, finding.severity) == ("data-line", "train.valid_path", "error")
    assert finding.position
    assert (finding.position.source, finding.position.line) == (str(data / "test_skills.jsonl"), 2)
    assert finding.hint.endswith("train.validate_samples: 0 trains without validation")
    assert launch.preflight(train.model_copy(update={"validate_samples": 0})) == []
    (finding,) = launch.preflight(settings(valid_path=str(tmp_path / "nowhere")))
    assert (finding.rule, finding.path) == ("data-not-found", "train.valid_path")
