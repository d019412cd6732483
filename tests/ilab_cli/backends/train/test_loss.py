"""What is padded is never looked at, and no microbatch grows beyond its limits."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch", reason="needs the train extra")

from ilab_cli.backends.train.loss import Limits, collate, token_loss
from ilab_profiles import Train
from tests.ilab_cli.backends.train.conftest import conversation, write_jsonl


@given(st.integers(1, 5000), st.integers(1, 64), st.integers(0, 5000), st.integers(0, 5000))
def test_a_width_is_rounded_within_its_limits(width: int, samples: int, more: int, longer: int) -> None:
    limits = Limits(width * samples + more, width + longer)
    rounded = limits.rounded(width, samples)
    assert width <= rounded <= limits.width
    assert rounded * samples <= limits.tokens
    assert rounded % 128 == 0 or rounded in (width, limits.width, limits.tokens // samples)


def test_the_loss_of_a_padded_batch_is_that_of_its_samples_alone(model_dir: Path, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    from ilab_cli.backends.train.dataset import examine

    lines = [conversation(number) for number in range(6)]
    lines[0]["messages"][1]["content"] *= 5
    train = Train(
        model_path=str(model_dir), data_path=str(write_jsonl(tmp_path / "d.jsonl", lines)), max_batch_len=4096
    )
    samples = examine(train)
    limits = Limits(4096, int(samples.lengths.max()))
    assert len(set(samples.lengths.tolist())) > 1
    model = AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float32).eval()
    cpu = torch.device("cpu")
    together = token_loss(model, collate(samples, range(6), cpu, limits)).item()
    alone = sum(token_loss(model, collate(samples, [number], cpu, limits)).item() for number in range(6))
    assert together == pytest.approx(alone, rel=1e-5)
