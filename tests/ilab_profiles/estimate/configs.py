"""Small models with sizes that nothing hides in: heads that differ, widths that do not divide, biases, ties."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

__all__ = ["AWKWARD", "LATENT", "SMALL", "written"]

SMALL = {
    "hidden_size": 48,
    "intermediate_size": 70,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 3,
    "vocab_size": 101,
    "max_position_embeddings": 37,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_GPT = {"n_embd": 48, "n_layer": 3, "n_head": 6, "n_positions": 37, "n_inner": 70} | {
    name: SMALL[name] for name in ("vocab_size", "pad_token_id", "bos_token_id", "eos_token_id")
}
_TIED, _UNTIED = {"tie_word_embeddings": True}, {"tie_word_embeddings": False}
_EXPERTS = {"num_experts": 5, "num_experts_per_tok": 2, "moe_intermediate_size": 22}
LATENT = {
    "num_key_value_heads": 6,
    "n_routed_experts": 6,
    "n_group": 2,
    "topk_group": 1,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 22,
    "n_shared_experts": 3,
    "kv_lora_rank": 10,
    "q_lora_rank": 14,
    "qk_rope_head_dim": 4,
    "qk_nope_head_dim": 9,
    "v_head_dim": 7,
}
_HYBRID = {
    "num_local_experts": 5,
    "shared_intermediate_size": 18,
    "mamba_n_heads": 8,
    "mamba_d_head": 12,
    "mamba_d_state": 5,
    "mamba_n_groups": 2,
    "layer_types": ["linear_attention", "full_attention", "linear_attention"],
}
_DELTA = {
    "head_dim": 10,
    "full_attention_interval": 3,
    "linear_conv_kernel_dim": 3,
    "linear_key_head_dim": 6,
    "linear_value_head_dim": 7,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
}
AWKWARD: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", SMALL | {"head_dim": 10}),
    "llama, biased, tied": ("llama", SMALL | _TIED | {"attention_bias": True, "mlp_bias": True}),
    "llama, no kv": ("llama", SMALL | {"num_key_value_heads": None}),
    "granite": ("granite", SMALL | {"attention_bias": True}),
    "mistral": ("mistral", SMALL | {"head_dim": 14, "sliding_window": None}),
    "mixtral": ("mixtral", SMALL | {"num_local_experts": 5}),
    "qwen2": ("qwen2", SMALL | {"use_sliding_window": True, "max_window_layers": 1, "sliding_window": 9}),
    "qwen2_moe": (
        "qwen2_moe",
        SMALL | _EXPERTS | {"shared_expert_intermediate_size": 26, "decoder_sparse_step": 2, "qkv_bias": False},
    ),
    "qwen3": ("qwen3", SMALL | _TIED | {"head_dim": 10, "attention_bias": True}),
    "qwen3_moe": ("qwen3_moe", SMALL | _EXPERTS | {"mlp_only_layers": [1]}),
    "granitemoe": ("granitemoe", SMALL | _TIED | {"num_local_experts": 5}),
    "granitemoeshared": ("granitemoeshared", SMALL | {"num_local_experts": 5, "shared_intermediate_size": 18}),
    "granitemoehybrid": ("granitemoehybrid", SMALL | _HYBRID | {"mamba_proj_bias": True}),
    "granitemoehybrid, dense": ("granitemoehybrid", SMALL | _HYBRID | {"num_local_experts": 0}),
    "olmoe": ("olmoe", SMALL | _EXPERTS),
    "phi": ("phi", SMALL | {"qk_layernorm": True}),
    "phi3": ("phi3", SMALL | {"sliding_window": 9}),
    "gemma": ("gemma", SMALL | {"head_dim": 10}),
    "gemma2": ("gemma2", SMALL | _UNTIED | {"head_dim": 10, "sliding_window": 9}),
    "gemma3_text": ("gemma3_text", SMALL | {"head_dim": 10, "sliding_window": 9, "sliding_window_pattern": 2}),
    "gpt2": ("gpt2", _GPT),
    "gpt2, untied": ("gpt2", _GPT | _UNTIED | {"n_inner": None}),
    "gpt_bigcode": ("gpt_bigcode", _GPT | {"multi_query": False}),
    "gpt_neo": (
        "gpt_neo",
        {"hidden_size": 48, "num_layers": 3, "num_heads": 6, "vocab_size": 101, "max_position_embeddings": 37}
        | {"attention_types": [[["global", "local", "global"], 1]], "bos_token_id": 1, "eos_token_id": 2},
    ),
    "gpt_neox": ("gpt_neox", SMALL | {"attention_bias": False}),
    "gpt_neox, tied": ("gpt_neox", SMALL | _TIED),
    "gptj": ("gptj", _GPT | {"rotary_dim": 4}),
    "opt": ("opt", SMALL | {"ffn_dim": 70, "word_embed_proj_dim": 20, "do_layer_norm_before": False}),
    "opt, bare": ("opt", SMALL | {"ffn_dim": 70, "enable_bias": False, "layer_norm_elementwise_affine": False}),
    "bloom": ("bloom", _GPT | {"n_embed": 48}),
    "falcon": ("falcon", SMALL | {"bias": True, "multi_query": False, "parallel_attn": False}),
    "falcon, new": ("falcon", SMALL | _UNTIED | {"num_kv_heads": 3, "new_decoder_architecture": True}),
    "mpt": ("mpt", {"d_model": 48, "n_layers": 3, "n_heads": 6, "vocab_size": 101, "max_seq_len": 37}),
    "stablelm": ("stablelm", SMALL | {"use_qkv_bias": True, "qk_layernorm": True}),
    "stablelm, parallel": ("stablelm", SMALL | {"use_parallel_residual": True}),
    "starcoder2": ("starcoder2", SMALL | {"use_bias": False}),
    "olmo": ("olmo", SMALL | _TIED),
    "olmo2": ("olmo2", SMALL),
    "olmo3": ("olmo3", SMALL | {"sliding_window": 9}),
    "smollm3": ("smollm3", SMALL | {"mlp_bias": True, "use_sliding_window": True, "sliding_window": 9}),
    "cohere": ("cohere", SMALL | {"use_qk_norm": True}),
    "cohere2": ("cohere2", SMALL | _UNTIED | {"head_dim": 10, "sliding_window": 9, "sliding_window_pattern": 2}),
    "deepseek_v2": ("deepseek_v2", SMALL | LATENT | {"q_lora_rank": None, "first_k_dense_replace": 1}),
    "deepseek_v3": ("deepseek_v3", SMALL | LATENT | {"attention_bias": True, "first_k_dense_replace": 2}),
    "gpt_oss": ("gpt_oss", SMALL | {"num_local_experts": 5, "num_experts_per_tok": 2, "head_dim": 10}),
    "glm": ("glm", SMALL | {"head_dim": 10}),
    "glm4": ("glm4", SMALL | _TIED | {"head_dim": 10, "attention_bias": False}),
    "glm4_moe": (
        "glm4_moe",
        SMALL | {"n_routed_experts": 6, "moe_intermediate_size": 22, "n_shared_experts": 2, "use_qk_norm": True},
    ),
    "nemotron": ("nemotron", SMALL | {"head_dim": 10, "mlp_bias": True}),
    "ernie4_5": ("ernie4_5", SMALL | _UNTIED | {"head_dim": 10, "use_bias": True}),
    "seed_oss": ("seed_oss", SMALL | {"head_dim": 10, "attention_out_bias": True}),
    "exaone4": ("exaone4", SMALL | {"sliding_window": 9}),
    "arcee": ("arcee", SMALL | {"head_dim": 10, "attention_bias": True}),
    "apertus": ("apertus", SMALL),
    "llama4_text": (
        "llama4_text",
        SMALL | {"num_local_experts": 5, "intermediate_size_mlp": 26, "head_dim": 10, "interleave_moe_layer_step": 2},
    ),
    "llama4": ("llama4", {"text_config": SMALL | {"num_local_experts": 2, "head_dim": 8, "moe_layers": [0]}}),
    "ministral3": ("ministral3", SMALL | {"head_dim": 10}),
    "granite_swa": ("granite_swa", SMALL | {"sliding_window": 9, "num_hidden_layers": 5}),
    "qwen3_5_text": ("qwen3_5_text", SMALL | _DELTA | {"attention_bias": True}),
    "qwen3_5": ("qwen3_5", {"text_config": SMALL | _DELTA | _TIED | {"full_attention_interval": 2}}),
    "qwen3_5_moe_text": ("qwen3_5_moe_text", SMALL | _DELTA | _EXPERTS | {"shared_expert_intermediate_size": 26}),
    "qwen3_next": (
        "qwen3_next",
        SMALL | _DELTA | _EXPERTS | {"shared_expert_intermediate_size": 26, "decoder_sparse_step": 2},
    ),
    "gemma3": (
        "gemma3",
        {
            "text_config": SMALL | {"head_dim": 10},
            "vision_config": {"hidden_size": 20, "intermediate_size": 26, "num_hidden_layers": 2, "image_size": 64}
            | {"num_attention_heads": 4, "patch_size": 16},
        },
    ),
}


def written(folder: Path, kind: str, config: dict[str, Any]) -> Path:
    """A folder with a ``config.json``."""
    (folder / "config.json").write_text(json.dumps({"model_type": kind, **config}, indent=1))
    return folder
