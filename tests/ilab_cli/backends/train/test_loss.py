"""The loss of packed samples is that of each alone, for every architecture that claims so, whatever the vocabulary."""

from __future__ import annotations

from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch", reason="needs the train extra")

import numpy as np

from ilab_cli.backends.train import attention
from ilab_cli.backends.train.architecture import mixes_samples
from ilab_cli.backends.train.data.dataset import Samples
from ilab_cli.backends.train.loss import Limits, collate, keeps_apart, learner
from ilab_profiles.estimate import moments

WORDS = 101
TINY: dict[str, Any] = {
    "vocab_size": WORDS,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
PACKED: dict[str, dict[str, Any]] = {
    "Llama": {},
    "Granite": {"logits_scaling": 3.0, "attention_multiplier": 0.3, "residual_multiplier": 0.7},
    "Qwen2": {"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 1},
    "Qwen3": {"head_dim": 8},
    "Mistral": {"sliding_window": 6},
    "Gemma": {"head_dim": 8},
    "Gemma3Text": {"head_dim": 8, "sliding_window": 5, "final_logit_softcapping": 4.0},
    "Phi": {"num_key_value_heads": 4},
    "Phi3": {},
    "Mixtral": {"num_local_experts": 4},
    "GPTNeoX": {},
    "Cohere2": {"sliding_window": 5},
}


def config(name: str, **more: Any) -> Any:
    import transformers

    return getattr(transformers, f"{name}Config")(**{**TINY, **more})


class Given:
    """Samples of random tokens, of which about two thirds are learned."""

    def __init__(self, *lengths: int) -> None:
        draw = np.random.default_rng(0)
        self.lengths = np.array(lengths)
        self._samples = [(draw.integers(3, WORDS, n).astype(np.int32), draw.random(n) < 0.7) for n in lengths]
        for _, learned in self._samples:
            learned[0] = False

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, number: int) -> Any:
        return self._samples[number]


def samples_of(*lengths: int) -> Samples:
    return cast(Samples, Given(*lengths))


def summed(network: Any, samples: Samples, *, packed: bool) -> Any:
    """The loss of all samples in one batch."""
    import torch

    limits = Limits(4096, int(samples.lengths.max()), packed)
    batch = collate(samples, range(len(samples)), torch.device("cpu"), limits)
    return network(batch.inputs, batch.positions, batch.targets)


def alone(model: Any, samples: Samples) -> Any:
    """The same loss the plain way: each sample by itself, all its logits, transformers' own attention."""
    import torch
    import torch.nn.functional as F

    total = torch.zeros(())
    for ids, learned in map(samples.__getitem__, range(len(samples))):
        tokens = torch.tensor(ids, dtype=torch.int64)
        logits = model(input_ids=tokens[None], use_cache=False).logits[0, :-1]
        counts = torch.tensor(learned)[1:]
        total = total + F.cross_entropy(logits[counts].float(), tokens[1:][counts], reduction="sum")
    return total


@pytest.fixture
def few_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The head is run on eleven positions at a time."""
    monkeypatch.setattr(moments, "_LOGITS", 11 * WORDS)


def pair(made: Any, ours: str) -> tuple[Any, Any]:
    """Two models of the same weights: one with our attention, one with transformers' own."""
    import torch
    from transformers import AutoModelForCausalLM

    attention.register(torch.device("cpu"))
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(made, attn_implementation=ours).train()
    oracle = AutoModelForCausalLM.from_config(made, attn_implementation="sdpa").train()
    oracle.load_state_dict(model.state_dict())
    return model, oracle


@pytest.mark.usefixtures("few_logits")
@pytest.mark.parametrize("name", PACKED)
def test_packed_samples_are_as_each_alone(name: str) -> None:
    import torch

    made = config(name, **PACKED[name])
    assert not mixes_samples(made)
    model, oracle = pair(made, attention.NAME)
    samples = samples_of(7, 1, 13, 22, 2)
    packed, single = summed(learner(model), samples, packed=True), alone(oracle, samples)
    assert packed.item() == pytest.approx(single.item(), rel=1e-5)
    packed.backward()
    single.backward()
    for (label, weight), other in zip(model.named_parameters(), oracle.parameters(), strict=True):
        assert torch.allclose(weight.grad, other.grad, atol=1e-5), label
    assert keeps_apart(learner(model), WORDS, torch.device("cpu"))


def test_logits_of_a_packed_row_are_those_behind_a_block_mask() -> None:
    """transformers makes a mask of blocks of positions that begin anew; ours must come to the same."""
    import torch

    model, oracle = pair(config("Mistral", sliding_window=6), attention.NAME)
    ids = torch.randint(3, WORDS, (1, 30))
    told = attention.segments([4, 17, 9], torch.device("cpu"))
    ours = model(input_ids=ids, use_cache=False, **told).logits
    masked = oracle(input_ids=ids, position_ids=told["position_ids"], use_cache=False).logits
    assert torch.allclose(ours, masked, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "more", "why"),
    [
        ("Qwen3Next", {"layer_types": ["linear_attention", "full_attention"]}, "linear_attention"),
        ("Gemma2", {"head_dim": 8}, "attention"),
        ("Mamba", {}, "linear_attention|state"),
        ("Falcon", {}, "attention"),
    ],
)
def test_models_that_mix_samples_are_known(name: str, more: dict[str, Any], why: str) -> None:
    import re

    assert re.search(why, mixes_samples(config(name, **more)))


def test_a_model_that_ignores_the_borders_is_found_out() -> None:
    """OPT does not hand on to its attention where samples begin."""
    import torch
    from transformers import OPTConfig

    made = OPTConfig(**{**TINY, "ffn_dim": 48, "word_embed_proj_dim": 32, "dropout": 0.0, "num_key_value_heads": None})
    model, _ = pair(made, attention.NAME)
    assert not keeps_apart(learner(model), WORDS, torch.device("cpu"))


@pytest.mark.usefixtures("few_logits")
def test_padded_samples_are_as_each_alone() -> None:
    model, oracle = pair(config("Llama"), "sdpa")
    samples = samples_of(7, 1, 13, 22, 2)
    padded = summed(learner(model, offload=True), samples, packed=False)
    assert padded.item() == pytest.approx(alone(oracle, samples).item(), rel=1e-5)


@given(st.integers(1, 5000), st.integers(1, 64), st.integers(0, 5000), st.integers(0, 5000))
def test_a_width_is_rounded_within_its_limits(width: int, samples: int, more: int, longer: int) -> None:
    limits = Limits(width * samples + more, width + longer, packed=False)
    rounded = limits.rounded(width, samples)
    assert width <= rounded <= limits.width
    assert rounded * samples <= limits.tokens
    assert rounded % 128 == 0 or rounded in (width, limits.width, limits.tokens // samples)


@given(st.integers(1, 5000), st.integers(0, 5000))
def test_a_packed_row_is_rounded_within_its_limit(width: int, more: int) -> None:
    rounded = Limits(width + more, 1, packed=True).rounded(width, 1)
    assert width <= rounded <= width + more
    assert rounded % 128 == 0 or rounded == width + more
