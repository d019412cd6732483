"""What transformers takes where a model's ``config.json`` leaves a setting out, by family.

Under the names that most families use. What is neither here nor in the file is false, or follows from the rest. The
tests hold each of these against transformers.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["DEFAULTS"]

_SIZES = """
family            vocabulary  hidden  inner  layers  heads  kv_heads  head_dim  positions
apertus               131072    4096  14336      32     32         -         -      65536
arcee                  32000    2560  18432      32     32         -         -       4096
bloom                 250880      64      -       2      8         -         -          -
cohere                256000    8192  22528      40     64         -         -       8192
cohere2               256000    8192  22528      40     64         -         -       8192
deepseek_v2           102400    4096  11008      32     32         -         -       2048
deepseek_v3           129280    7168  18432      61    128         -         -       4096
ernie4_5              103424    1024   3072      18     16         2       128     131072
exaone4               102400    4096  16384      32     32        32         -       2048
falcon                 65024    4544      -      32     71         -         -       2048
gemma                 256000    3072  24576      28     16        16       256       8192
gemma2                256000    2304   9216      26      8         4       256       8192
gemma3_text           262208    2304   9216      26      8         4       256     131072
glm                   151552    4096  13696      40     32         2       128     131072
glm4                  151552    4096  13696      40     32         2       128     131072
glm4_moe              151552    4096  10944      46     96         8         -     131072
gpt2                   50257     768      -      12     12         -         -       1024
gpt_bigcode            50257     768      -      12     12         -         -       1024
gpt_neo                50257    2048      -      24     16         -         -       2048
gpt_neox               50432    6144  24576      44     64         -         -       2048
gpt_oss               201088    2880   2880      36     64         8        64     131072
gptj                   50400    4096      -      28     16         -         -       2048
granite                32000    4096  11008      32     32         -         -       2048
granite_swa           100352    2560   8192      24     20         4         -       8192
granitemoe             32000    4096  11008      32     32         -         -       2048
granitemoehybrid       32000    4096  11008      32     32         -         -       2048
granitemoeshared       32000    4096  11008      32     32         -         -       2048
llama                  32000    4096  11008      32     32         -         -       2048
llama4_text           202048    5120   8192      48     40         8       128     131072
ministral3            131072    4096  14336      34     32         8       128     262144
mistral                32000    4096  14336      32     32         8         -     131072
mixtral                32000    4096  14336      32     32         8         -     131072
mpt                    50368    2048      -      24     16         -         -       2048
nemotron              256000    6144  24576      32     48         -         -       4096
olmo                   50304    4096  11008      32     32         -         -       2048
olmo2                  50304    4096  11008      32     32         -         -       2048
olmo3                  50304    4096  11008      32     32         -         -       2048
olmoe                  50304    2048   2048      16     16         -         -       4096
opt                    50272     768   3072      12     12         -         -       2048
phi                    51200    2048   8192      24     32         -         -       2048
phi3                   32064    3072   8192      32     32         -         -       4096
qwen2                 151936    4096  22016      32     32        32         -      32768
qwen2_moe             151936    2048   5632      24     16        16         -      32768
qwen3                 151936    4096  22016      32     32        32       128      32768
qwen3_5_moe_text      248320    2048      -      40     16         2       256      32768
qwen3_5_text          248320    4096  12288      32     16         4       256      32768
qwen3_moe             151936    2048   6144      24     32         4         -      32768
qwen3_next            151936    2048   5632      48     16         2       256      32768
seed_oss              155136    4096  27648      64     80         8       128     524288
smollm3               128256    2048  11008      36     16         4         -      32768
stablelm               50304    2560   6912      32     32        32         -       4096
starcoder2             49152    3072  12288      30     24         2         -       4096
"""
_COLUMNS = {
    "vocabulary": "vocab_size",
    "hidden": "hidden_size",
    "inner": "intermediate_size",
    "layers": "num_hidden_layers",
    "heads": "num_attention_heads",
    "kv_heads": "num_key_value_heads",
    "head_dim": "head_dim",
    "positions": "max_position_embeddings",
}
_DELTA = {
    "full_attention_interval": 4,
    "linear_conv_kernel_dim": 4,
    "linear_key_head_dim": 128,
    "linear_value_head_dim": 128,
    "linear_num_key_heads": 16,
    "linear_num_value_heads": 32,
}
_OTHERS: dict[str, dict[str, int]] = {
    "granite_swa": {"sliding_window": 128},
    "qwen3_5_text": _DELTA,
    "qwen3_5_moe_text": {
        "moe_intermediate_size": 512,
        "shared_expert_intermediate_size": 512,
        "num_experts_per_tok": 8,
        "num_experts": 256,
        **_DELTA,
    },
    "qwen3_next": {
        "decoder_sparse_step": 1,
        "moe_intermediate_size": 512,
        "shared_expert_intermediate_size": 512,
        "num_experts_per_tok": 10,
        "num_experts": 512,
        **_DELTA,
    },
    "cohere2": {"sliding_window": 4096},
    "deepseek_v2": {
        "first_k_dense_replace": 0,
        "kv_lora_rank": 512,
        "moe_intermediate_size": 1407,
        "n_shared_experts": 2,
        "num_experts": 64,
        "q_lora_rank": 1536,
        "qk_nope_head_dim": 128,
        "qk_rope_head_dim": 64,
        "v_head_dim": 128,
    },
    "deepseek_v3": {
        "first_k_dense_replace": 3,
        "kv_lora_rank": 512,
        "moe_intermediate_size": 2048,
        "n_shared_experts": 1,
        "num_experts": 256,
        "num_experts_per_tok": 8,
        "q_lora_rank": 1536,
        "qk_nope_head_dim": 128,
        "qk_rope_head_dim": 64,
        "v_head_dim": 128,
    },
    "exaone4": {"sliding_window": 4096},
    "falcon": {"multi_query": True, "parallel_attn": True},
    "gemma2": {"sliding_window": 4096},
    "gemma3_text": {"sliding_window": 4096},
    "glm": {"attention_bias": True},
    "glm4": {"attention_bias": True},
    "glm4_moe": {
        "first_k_dense_replace": 1,
        "moe_intermediate_size": 1408,
        "n_shared_experts": 1,
        "num_experts": 128,
        "num_experts_per_tok": 8,
    },
    "gpt_bigcode": {"multi_query": True},
    "gpt_neo": {"window_size": 256},
    "gpt_neox": {"attention_bias": True},
    "gpt_oss": {"attention_bias": True, "num_experts": 128, "num_experts_per_tok": 4, "sliding_window": 128},
    "granitemoe": {"num_experts": 8, "num_experts_per_tok": 2},
    "granitemoehybrid": {
        "mamba_conv_bias": True,
        "mamba_d_conv": 4,
        "mamba_d_state": 256,
        "mamba_expand": 2,
        "mamba_n_groups": 1,
        "mamba_n_heads": 128,
        "num_experts": 8,
        "num_experts_per_tok": 2,
        "shared_intermediate_size": 1024,
    },
    "granitemoeshared": {"num_experts": 8, "num_experts_per_tok": 2, "shared_intermediate_size": 0},
    "llama4_text": {
        "attention_chunk_size": 8192,
        "interleave_moe_layer_step": 1,
        "intermediate_size_mlp": 16384,
        "num_experts": 16,
    },
    "mistral": {"sliding_window": 4096},
    "mixtral": {"num_experts": 8, "num_experts_per_tok": 2},
    "olmo3": {"sliding_window": 4096},
    "olmoe": {"num_experts": 64, "num_experts_per_tok": 8},
    "opt": {"do_layer_norm_before": True, "enable_bias": True, "layer_norm_elementwise_affine": True},
    "qwen2": {"max_window_layers": 28, "sliding_window": 4096},
    "qwen2_moe": {
        "decoder_sparse_step": 1,
        "moe_intermediate_size": 1408,
        "num_experts": 60,
        "num_experts_per_tok": 4,
        "qkv_bias": True,
        "shared_expert_intermediate_size": 5632,
    },
    "qwen3": {"max_window_layers": 28, "sliding_window": 4096},
    "qwen3_moe": {
        "decoder_sparse_step": 1,
        "moe_intermediate_size": 768,
        "num_experts": 128,
        "num_experts_per_tok": 8,
        "sliding_window": 4096,
    },
    "seed_oss": {"attention_bias": True},
    "starcoder2": {"use_bias": True},
}
_TIED = {
    *("bloom", "cohere", "cohere2", "ernie4_5", "falcon", "gemma", "gemma2", "gemma3_text", "gpt2", "gpt_bigcode"),
    *("gpt_neo", "granite_swa", "mpt", "opt", "smollm3", "starcoder2"),
}
"""Families whose head is their embedding unless the file says otherwise."""


def _table() -> Mapping[str, Mapping[str, int]]:
    head, *rows = (row.split() for row in _SIZES.strip().splitlines())
    names = [_COLUMNS[column] for column in head[1:]]
    sizes = {
        row[0]: {name: int(size) for name, size in zip(names, row[1:], strict=True) if size != "-"} for row in rows
    }
    return {
        family: sizes[family] | _OTHERS.get(family, {}) | {"tie_word_embeddings": family in _TIED} for family in sizes
    }


DEFAULTS = _table()
