"""The estimate of memory against traces of our own training code, over architectures, types and engines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ilab_profiles import Train
from ilab_profiles.estimate.architecture import read
from ilab_profiles.estimate.memory import memory
from ilab_profiles.estimate.setup import setup_of

pytest.importorskip("peft")
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*checkpointing:FutureWarning"),
    pytest.mark.filterwarnings("ignore:fan_in_fan_out:UserWarning"),
]

WIDE: dict[str, Any] = {
    "hidden_size": 512,
    "num_hidden_layers": 6,
    "intermediate_size": 1408,
    "num_attention_heads": 8,
    "vocab_size": 16000,
    "max_position_embeddings": 8192,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
SHARED = {"num_key_value_heads": 4}
GPT2 = {"n_embd": 512, "n_layer": 6, "n_head": 8, "vocab_size": 16000, "n_positions": 8192}
STILL = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0, "bos_token_id": 1, "eos_token_id": 2}
MODELS: dict[str, dict[str, Any]] = {
    "llama": WIDE | SHARED,
    "qwen3": WIDE | SHARED | {"head_dim": 64},
    "granite": WIDE | SHARED,
    "phi3": WIDE | SHARED,
    "gemma3_text": WIDE | SHARED | {"head_dim": 64, "query_pre_attn_scalar": 64},
    "starcoder2": WIDE | SHARED | {"residual_dropout": 0.0, "embedding_dropout": 0.0},
    "gpt_neox": WIDE,
    "gpt2": GPT2 | STILL,
}
WAYS: dict[str, dict[str, Any]] = {
    "fp32": {},
    "bf16": {"precision": "bf16"},
    "bf16, recomputed": {"precision": "bf16", "gradient_checkpointing": True},
    "bf16 weights": {"precision": "bf16", "master_weights": "bf16"},
    "LoRA": {"precision": "bf16", "lora": {"enabled": True, "lora_rank": 16, "lora_dropout": 0.0}},
}
LONG = [1024, 512, 1024, 1536]
SHORT = [96]


def _estimate(folder: Path, train: Train) -> float:
    """What is estimated of what a trace counts, which is done on the CPU with the optimizer's step of a GPU."""
    setup = setup_of(train, cuda=False)
    setup = replace(setup, gradients_stay=False, step=4, largest=0, cuda=True, kernel=False)
    if train.master_weights == "bf16":
        setup = replace(setup, step=2, state=4, end_state=4)
    around = ("allocator", "CUDA", "NCCL")
    parts = [part for part in memory(read(folder), setup) if part.where == "gpu"]
    return sum(part.bytes for part in parts if not any(word in part.name for word in around))


def _train(tokens: int, **settings: Any) -> Train:
    batch = {"max_seq_len": tokens, "max_batch_len": tokens, "effective_batch_size": settings.get("num_gpus", 1)}
    return Train.model_validate({**batch, **settings})


def _config(kind: str, folder: Path) -> Any:
    from transformers import AutoConfig

    config = AutoConfig.for_model(kind, **MODELS[kind])
    config.save_pretrained(folder)
    return config


CASES = [("llama", way) for way in WAYS] + [(kind, way) for kind in MODELS for way in ("bf16", "LoRA")][2:]


@pytest.mark.parametrize(("kind", "way"), CASES)
def test_the_estimate_is_what_the_code_holds(kind: str, way: str, tmp_path: Path) -> None:
    from tests.ilab_profiles.estimate.tracing import traced

    config, train = _config(kind, tmp_path), _train(sum(LONG), **WAYS[way])
    off = _estimate(tmp_path, train) / traced(config, train, LONG) - 1
    assert -0.05 <= off <= 0.10


@pytest.mark.parametrize("way", ["bf16", "LoRA"])
def test_little_data_leave_the_step_as_the_peak(way: str, tmp_path: Path) -> None:
    from tests.ilab_profiles.estimate.tracing import traced

    config, train = _config("llama", tmp_path), _train(sum(SHORT), **WAYS[way])
    assert _estimate(tmp_path, train) == pytest.approx(traced(config, train, SHORT), rel=0.05)


@pytest.fixture
def mesh() -> Iterator[Any]:
    """Eight processes, of which only this one is there."""
    import torch.distributed as dist
    from torch.distributed import device_mesh
    from torch.testing._internal.distributed.fake_pg import FakeStore

    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=8)
    made, own = device_mesh.init_device_mesh("cpu", (8,)), device_mesh.init_device_mesh
    device_mesh.init_device_mesh = lambda *_, **__: made
    yield made
    device_mesh.init_device_mesh = own
    dist.destroy_process_group()


@pytest.mark.parametrize("lengths", [LONG, SHORT])
@pytest.mark.parametrize("recomputed", [False, True])
def test_fsdp_over_eight_processes(lengths: list[int], recomputed: bool, mesh: Any, tmp_path: Path) -> None:
    from tests.ilab_profiles.estimate.tracing import traced

    sharded = {"fsdp": {"enabled": True}, "num_gpus": 8, "precision": "bf16", "gradient_checkpointing": recomputed}
    config, train = _config("llama", tmp_path), _train(sum(lengths), **sharded)
    off = _estimate(tmp_path, train) / traced(config, train, lengths, mesh) - 1
    assert -0.05 <= off <= 0.10
