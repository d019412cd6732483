"""The families that follow GPT-2: LayerNorms, plain MLPs, queries, keys and values mostly in one matrix.

Like :mod:`~ilab_profiles.estimate.anatomy.families`, of which this is a part.
"""

from __future__ import annotations

from dataclasses import replace

from ilab_profiles.estimate.anatomy.attention import fused, own, same, separate
from ilab_profiles.estimate.anatomy.family import Family
from ilab_profiles.estimate.anatomy.mlps import plain
from ilab_profiles.estimate.anatomy.settings import Settings
from ilab_profiles.estimate.anatomy.windows import near

__all__ = ["GPT_FAMILIES"]

_GPT_NAMES = {
    "hidden_size": "n_embd hidden_size",
    "num_hidden_layers": "n_layer num_hidden_layers",
    "num_attention_heads": "n_head num_attention_heads",
    "max_position_embeddings": "n_positions max_position_embeddings",
    "intermediate_size": "n_inner",
}
_NEO_NAMES = {
    "num_hidden_layers": "num_layers num_hidden_layers",
    "num_attention_heads": "num_heads num_attention_heads",
    "layer_types": "attention_layers",
}
_BLOOM_NAMES = {
    "hidden_size": "n_embed hidden_size",
    "num_hidden_layers": "n_layer num_hidden_layers",
    "num_attention_heads": "n_head num_attention_heads",
}
_FALCON_NAMES = {
    "hidden_size": "n_embed hidden_size",
    "num_key_value_heads": "num_kv_heads",
    "intermediate_size": "ffn_hidden_size",
}
_MPT_NAMES = {
    "hidden_size": "d_model hidden_size",
    "num_hidden_layers": "n_layers num_hidden_layers",
    "num_attention_heads": "n_heads num_attention_heads",
    "max_position_embeddings": "max_seq_len",
}


def _bigcode_kv(settings: Settings) -> int:
    return 1 if settings.flag("multi_query") else same(settings)


def _falcon_kv(settings: Settings) -> int:
    if settings.flag("new_decoder_architecture"):
        return own(settings)
    return 1 if settings.flag("multi_query") else same(settings)


def _falcon_norms(settings: Settings) -> int:
    if not settings.flag("parallel_attn"):
        return 4
    told = settings.number("num_ln_in_parallel_attn", 2 if settings.flag("new_decoder_architecture") else 1)
    return 4 if told == 2 else 2


def _opt_norms(settings: Settings) -> int:
    return 4 if settings.flag("layer_norm_elementwise_affine") else 0


def _opt_last(settings: Settings) -> int:
    there = settings.flag("do_layer_norm_before") and not settings.flag("_remove_final_layer_norm")
    return 2 if there and settings.flag("layer_norm_elementwise_affine") else 0


_GPT2 = Family(
    fused("c_attn", "c_proj", "attn", True),
    plain("c_fc", "c_proj", True),
    norms=4,
    last=2,
    names=_GPT_NAMES,
    learned="transformer.wpe",
    embedding="transformer.wte",
    stack="transformer.h",
)
GPT_FAMILIES: dict[str, Family] = {
    "gpt2": _GPT2,
    "gpt_bigcode": replace(_GPT2, attention=fused("c_attn", "c_proj", "attn", True, kv=_bigcode_kv)),
    "gpt_neo": replace(
        _GPT2,
        attention=separate(False, True, out="out_proj", inside="attn.attention", kv=same),
        window=near,
        names=_NEO_NAMES,
    ),
    "gptj": Family(
        separate(out="out_proj", inside="attn", kv=same),
        plain("fc_in", "fc_out", True),
        last=2,
        names=_GPT_NAMES,
        head_bias=True,
        embedding="transformer.wte",
        stack="transformer.h",
    ),
    "gpt_neox": Family(
        fused("query_key_value", "dense", "attention", "attention_bias"),
        plain("dense_h_to_4h", "dense_4h_to_h", True),
        norms=4,
        last=2,
        embedding="gpt_neox.embed_in",
        stack="gpt_neox.layers",
    ),
    "opt": Family(
        separate("enable_bias", out="out_proj", kv=same),
        plain("fc1", "fc2", "enable_bias", inside=""),
        norms=_opt_norms,
        last=_opt_last,
        names={"intermediate_size": "ffn_dim"},
        embedding="model.decoder.embed_tokens",
        stack="model.decoder.layers",
        learned="model.decoder.embed_positions",
        reserved=2,
        narrow="word_embed_proj_dim",
    ),
    "bloom": Family(
        fused("query_key_value", "dense", "self_attention", True),
        plain("dense_h_to_4h", "dense_4h_to_h", True),
        norms=4,
        last=4,
        names=_BLOOM_NAMES,
        embedding="transformer.word_embeddings",
        stack="transformer.h",
    ),
    "falcon": Family(
        fused("query_key_value", "dense", "self_attention", "bias", kv=_falcon_kv),
        plain("dense_h_to_4h", "dense_4h_to_h", "bias"),
        norms=_falcon_norms,
        last=2,
        names=_FALCON_NAMES,
        embedding="transformer.word_embeddings",
        stack="transformer.h",
    ),
    "mpt": Family(
        fused("Wqkv", "out_proj", "attn"),
        plain("up_proj", "down_proj", inside="ffn"),
        names=_MPT_NAMES,
        embedding="transformer.wte",
        stack="transformer.blocks",
    ),
}
