"""Optimizers: each one learns, goes on from what it saved, and weights in bf16 keep up with those in fp32."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch", reason="needs the train extra")

from ilab_cli.backends.train import optimizers
from ilab_cli.backends.train.loss import learner
from ilab_profiles import Train

NAMES = ["adamw", "adamw_fused", "adamw_8bit", "adafactor", "muon"]
RATES = {"adafactor": 3e-2}


def tiny() -> Any:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(vocab_size=101, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4)
    )


def curve(train: Train, model: Any, optimizer: Any, steps: range) -> list[float]:
    """The losses of some steps on one batch."""
    import torch

    ids = torch.arange(120).reshape(4, 30) * 7 % 101
    network, losses = learner(model), []
    for step in steps:
        torch.manual_seed(step)
        loss = network({"input_ids": ids}, torch.arange(29), ids[:, 1:]) / 116
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


def choose(name: str, **more: Any) -> Train:
    if name == "adamw_8bit":
        pytest.importorskip("bitsandbytes", reason="needs the quantize extra")
    return Train.model_validate({"optimizer": name, "learning_rate": RATES.get(name, 3e-3), **more})


@pytest.mark.parametrize(
    ("name", "more"), [*((name, {}) for name in NAMES), ("adamw", {"master_weights": "bf16", "precision": "bf16"})]
)
def test_it_learns_and_goes_on_from_its_state(name: str, more: dict[str, Any]) -> None:
    import torch

    train, model = choose(name, **more), tiny()
    if more:
        model = model.to(torch.bfloat16)
    optimizer = optimizers.make(train, model)
    losses = curve(train, model, optimizer, range(20))
    assert losses[-1] < losses[0] - 0.5
    state, weights = copy.deepcopy(optimizer.state_dict()), copy.deepcopy(model.state_dict())
    straight = curve(train, model, optimizer, range(20, 24))
    again = tiny().to(model.dtype)
    again.load_state_dict(weights)
    other = optimizers.make(train, again)
    other.load_state_dict(state)
    assert curve(train, again, other, range(20, 24)) == straight


def test_weights_in_bf16_keep_up_with_those_in_fp32() -> None:
    """At a small rate most steps are less than half of what bf16 tells apart: without chance they would be lost."""
    import torch

    rate = {"learning_rate": 3e-5}
    model = tiny().to(torch.bfloat16)
    exact = tiny()
    exact.load_state_dict({name: weight.float() for name, weight in model.state_dict().items()})
    nearest = copy.deepcopy(model)
    train = choose("adamw", **rate)
    expected = curve(train, exact, optimizers.make(train, exact), range(60))
    rounded = choose("adamw", master_weights="bf16", precision="bf16", **rate)
    at_random = curve(rounded, model, optimizers.make(rounded, model), range(60))
    lost = curve(train, nearest, torch.optim.AdamW(nearest.parameters(), lr=3e-5, betas=(0.9, 0.95)), range(60))
    fell = expected[0] - expected[-1]
    assert at_random[0] - at_random[-1] == pytest.approx(fell, rel=0.15)
    assert lost[0] - lost[-1] < 0.7 * fell


@given(st.floats(-(2.0**100), 2.0**100, width=32, allow_subnormal=False))
def test_rounding_is_right_on_average(value: float) -> None:
    import torch

    torch.manual_seed(0)
    rounded = optimizers.round_at_random(torch.full((4000,), value)).float()
    near = torch.tensor(value).to(torch.bfloat16).float()
    step = abs(value) * 2**-7 + 1e-38
    assert rounded.unique().numel() <= 2
    assert (rounded - near).abs().max() <= step
    assert float((rounded.double() - value).mean()) == pytest.approx(0, abs=step / 20)


def test_what_is_no_number_stays_so() -> None:
    import torch

    odd = optimizers.round_at_random(torch.tensor([float("inf"), float("-inf"), float("nan"), 0.0]))
    assert odd[:2].tolist() == [float("inf"), float("-inf")]
    assert odd[2].isnan()
    assert odd[3] == 0


def test_muon_leaves_embeddings_and_head_to_adamw() -> None:
    model = tiny()
    groups = optimizers.make(choose("muon"), model).param_groups
    ends = {id(model.get_input_embeddings().weight), id(model.get_output_embeddings().weight)}
    muon, adam = ({id(weight) for weight in group["params"]} for group in groups)
    assert ends <= adam
    assert not ends & muon
    assert len(muon) + len(adam) == len(list(model.parameters()))
