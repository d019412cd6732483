"""Small models of many architectures with random weights, all with the tokenizer of the tiny student."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

_SIZE: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}

KINDS: dict[str, dict[str, Any]] = {
    "llama": {**_SIZE, "num_key_value_heads": 2},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 512},
    "granite": {**_SIZE, "logits_scaling": 8.0, "residual_multiplier": 0.2},
    "opt": {
        "hidden_size": 32,
        "ffn_dim": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "word_embed_proj_dim": 32,
    },
    "qwen2": {**_SIZE, "num_key_value_heads": 2, "use_sliding_window": False},
    "phi": {**_SIZE},
}
"""Models whose keys and values can be shared."""

UNSHARED = {
    "mistral": "it has a sliding window",
    "mamba": "it keeps a state instead of keys and values",
    "recurrent_gemma": "it keeps a state instead of keys and values",
    "t5": "it is an encoder-decoder",
}
"""Models that have to be asked in lm-eval's way, and why."""
_SETTINGS: dict[str, dict[str, Any]] = {
    "mistral": {**_SIZE, "sliding_window": 16, "num_key_value_heads": 2},
    "mamba": {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 4},
    "recurrent_gemma": {**_SIZE, "num_hidden_layers": 3, "lru_width": 32, "attention_window_size": 16},
    "t5": {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4, "decoder_start_token_id": 0},
}


def make_kind(kind: str, student: Path, folder: Path) -> Path:
    """Write a model of an architecture to a folder; returns the folder."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

    shutil.copytree(student, folder, ignore=shutil.ignore_patterns("config.json", "*.safetensors"))
    tokenizer = AutoTokenizer.from_pretrained(student)
    tokens = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("pad", "bos", "eos")}
    settings = {**(KINDS | _SETTINGS)[kind], **tokens, "vocab_size": len(tokenizer), "initializer_range": 0.2}
    if "n_embd" not in settings:
        settings["max_position_embeddings"] = 512
    config = AutoConfig.for_model(kind, **settings)
    loader = AutoModelForSeq2SeqLM if kind == "t5" else AutoModelForCausalLM
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        loader.from_config(config).save_pretrained(folder)
    assert json.loads((folder / "config.json").read_text())["model_type"] == kind
    return folder
