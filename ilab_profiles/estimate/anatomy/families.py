"""The families of models that are known: what their layers are made of, and what they call their settings.

A table, as transformers builds them; the tests hold it against transformers itself. Where a family's ``config.json``
may leave a setting out, :mod:`~ilab_profiles.estimate.anatomy.defaults` has what transformers takes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ilab_profiles.estimate.anatomy.attention import (
    Attention,
    Norm,
    Window,
    compressed,
    every,
    fused,
    mamba,
    own,
    same,
    separate,
    swa,
)
from ilab_profiles.estimate.anatomy.mlps import (
    Mlp,
    Shared,
    after,
    experts,
    gated,
    listed,
    optional_experts,
    packed,
    plain,
    stepped,
)
from ilab_profiles.estimate.anatomy.settings import Settings

__all__ = ["FAMILIES", "Family"]

Norms = int | Callable[[Settings], int]


@dataclass(frozen=True, slots=True)
class Family:
    """How a family is built.

    Args:
        attention: of a layer.
        mlp: of a layer.
        norms: parameters of a layer's norms, as multiples of the model's width: an RMSNorm has one, a LayerNorm two.
        last: the same of the norms outside layers.
        window: how far back a layer looks.
        names: what it calls a setting that most others call by the first name.
        embedding: the embedding's name in the model.
        head: the head's.
        stack: the list of layers'.
        head_bias: whether the head has a bias.
        learned: the embedding of positions, if they are learned.
        reserved: positions that it has beyond those told.
        narrow: the setting that tells the embedding's width, where it may differ from the model's.
        renamed: see :class:`~ilab_profiles.estimate.anatomy.shapes.Architecture`.
    """

    attention: Callable[[Settings, int], Attention]
    mlp: Callable[[Settings, int], Mlp]
    norms: Norms = 2
    last: Norms = 1
    window: Window = lambda settings, index: None
    names: Mapping[str, str] = field(default_factory=dict)
    embedding: str = "model.embed_tokens"
    head: str = "lm_head"
    stack: str = "model.layers"
    head_bias: bool = False
    learned: str = ""
    reserved: int = 0
    narrow: str = ""
    renamed: Mapping[str, str] = field(default_factory=dict)


def _per_head(when: str = "") -> Norm:
    return Norm(each=False, when=when)


# --- what a few families do in a way of their own ---------------------------------------------------------------------


def _late_windows(settings: Settings, index: int) -> int | None:
    """Qwen2: a window from the layer ``max_window_layers`` on, if it is switched on."""
    if not settings.flag("use_sliding_window"):
        return None
    kind = settings.kind(index)
    late = kind == "sliding_attention" if kind else index >= settings.number("max_window_layers", least=0)
    return swa(settings, index) if late else None


def _if_used(settings: Settings, index: int) -> int | None:
    """A window in each layer, if it is switched on."""
    return swa(settings, index) if settings.flag("use_sliding_window") else None


def _listed_windows(settings: Settings, index: int) -> int | None:
    """A window in the layers that are listed with one."""
    return swa(settings, index) if settings.kind(index) == "sliding_attention" else None


def _chunks(settings: Settings, index: int) -> int | None:
    """Llama 4: tokens see those of their chunk, except in each fourth layer."""
    kind = settings.kind(index) or ("full_attention" if (index + 1) % 4 == 0 else "chunked_attention")
    return settings.optional("attention_chunk_size") if kind == "chunked_attention" else None


def _local(settings: Settings, index: int) -> int | None:
    """GPT-Neo: each second layer looks at what is near."""
    near = (settings.kind(index) or ("local" if index % 2 else "global")) == "local"
    return settings.number("window_size") if near else None


def _falcon_kv(settings: Settings) -> int:
    if settings.flag("new_decoder_architecture"):
        return own(settings)
    return 1 if settings.flag("multi_query") else same(settings)


def _falcon_norms(settings: Settings) -> int:
    if not settings.flag("parallel_attn"):
        return 4
    told = settings.number("num_ln_in_parallel_attn", 2 if settings.flag("new_decoder_architecture") else 1)
    return 4 if told == 2 else 2


def _one_if(when: str, yes: int, no: int) -> Callable[[Settings], int]:
    return lambda settings: yes if settings.flag(when) else no


def _opt_last(settings: Settings) -> int:
    there = settings.flag("do_layer_norm_before") and not settings.flag("_remove_final_layer_norm")
    return 2 if there and settings.flag("layer_norm_elementwise_affine") else 0


def _hybrid(settings: Settings, index: int) -> Attention:
    """Granite 4: layers that carry a state, and some with attention."""
    kind = settings.kind(index) or "linear_attention"
    return mamba(settings, index) if kind in ("linear_attention", "mamba") else _TOLD(settings, index)


_TOLD = separate("attention_bias")
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
_GRANITE_SHARED = Shared("shared_mlp", "shared_intermediate_size", packed=True)
_MIXTRAL_STACKS = {"gate": "gate", "w1": "gate_up_proj", "w3": "gate_up_proj", "w2": "down_proj"}
_STACKS = {"gate": "gate", "gate_proj": "gate_up_proj", "up_proj": "gate_up_proj", "down_proj": "down_proj"}
_EXPERTS = {"num_experts": "num_local_experts num_experts"}
_ROUTED = {"num_experts": "n_routed_experts num_local_experts num_experts"}
_SHARED = Shared("shared_experts", "moe_intermediate_size", times="n_shared_experts")
_QWEN_SHARED = Shared("shared_expert", "shared_expert_intermediate_size", gate="shared_expert_gate")

FAMILIES: dict[str, Family] = {
    # llama, and what differs from it in a bias, a norm or a window
    "llama": Family(_TOLD, gated("mlp_bias")),
    "granite": Family(_TOLD, gated("mlp_bias")),
    "mistral": Family(separate(), gated(), window=swa),
    "qwen2": Family(separate(True, False), gated(), window=_late_windows),
    "qwen3": Family(separate("attention_bias", norm=_per_head()), gated(), window=_late_windows),
    "gemma": Family(_TOLD, gated()),
    "gemma2": Family(_TOLD, gated(), norms=4, window=every(2)),
    "gemma3_text": Family(
        separate("attention_bias", norm=_per_head()), gated(), norms=4, window=every(6, "sliding_window_pattern")
    ),
    "olmo": Family(_TOLD, gated(), norms=0, last=0),
    "olmo2": Family(separate("attention_bias", norm=Norm(each=True)), gated()),
    "olmo3": Family(separate("attention_bias", norm=Norm(each=True)), gated(), window=every(4)),
    "smollm3": Family(_TOLD, gated("mlp_bias"), window=_listed_windows),
    "cohere": Family(separate("attention_bias", norm=Norm(each=True, when="use_qk_norm")), gated(), norms=1),
    "cohere2": Family(_TOLD, gated(), norms=1, window=every(4, "sliding_window_pattern")),
    "ernie4_5": Family(separate("use_bias"), gated("use_bias")),
    "seed_oss": Family(separate("attention_bias", "attention_out_bias"), gated("mlp_bias")),
    "exaone4": Family(separate(norm=_per_head()), gated(), window=every(4)),
    "glm": Family(separate("attention_bias", False), packed()),
    "glm4": Family(separate("attention_bias", False), packed(), norms=4),
    "phi3": Family(fused("qkv_proj", "o_proj", "self_attn", kv=own), packed(), window=swa),
    "arcee": Family(_TOLD, plain("up_proj", "down_proj", "mlp_bias")),
    "apertus": Family(separate("attention_bias", norm=_per_head()), plain("up_proj", "down_proj", other=2)),
    "nemotron": Family(_TOLD, plain("up_proj", "down_proj", "mlp_bias"), norms=4, last=2),
    "stablelm": Family(
        separate("use_qkv_bias", False, norm=Norm(each=True, when="qk_layernorm")),
        gated(),
        norms=_one_if("use_parallel_residual", 2, 4),
        last=2,
    ),
    "starcoder2": Family(separate("use_bias"), plain("c_fc", "c_proj", "use_bias"), norms=4, last=2, window=swa),
    "phi": Family(
        separate(True, out="dense", norm=Norm(each=False, weights=2, when="qk_layernorm")),
        plain("fc1", "fc2", True),
        last=2,
        head_bias=True,
    ),
    # experts
    "mixtral": Family(separate(), experts("gate"), window=swa, names=_EXPERTS, renamed=_MIXTRAL_STACKS),
    "qwen2_moe": Family(
        separate("qkv_bias", False),
        stepped(gated(), experts("gate", "moe_intermediate_size", shared=_QWEN_SHARED)),
    ),
    "qwen3_moe": Family(
        separate("attention_bias", norm=_per_head()),
        stepped(gated(), experts("gate", "moe_intermediate_size")),
        window=_if_used,
        names=_EXPERTS,
        renamed=_STACKS,
    ),
    "olmoe": Family(separate("attention_bias", norm=Norm(each=True)), experts("gate"), renamed=_STACKS),
    "granitemoe": Family(_TOLD, experts("router", inside="block_sparse_moe"), names=_EXPERTS),
    "granitemoeshared": Family(
        _TOLD, experts("router", inside="block_sparse_moe", shared=_GRANITE_SHARED), names=_EXPERTS
    ),
    "granitemoehybrid": Family(
        _hybrid,
        optional_experts(experts("router", inside="block_sparse_moe", shared=_GRANITE_SHARED), _GRANITE_SHARED),
        names=_EXPERTS,
    ),
    "gpt_oss": Family(
        separate("attention_bias", sinks=True), experts("router", bias=True), window=every(2), names=_EXPERTS
    ),
    "deepseek_v2": Family(
        compressed,
        after(gated("mlp_bias"), experts("gate", "moe_intermediate_size", shared=_SHARED)),
        names=_ROUTED,
        renamed=_STACKS,
    ),
    "deepseek_v3": Family(
        compressed,
        after(gated(), experts("gate", "moe_intermediate_size", shared=_SHARED)),
        names=_ROUTED,
        renamed=_STACKS,
    ),
    "glm4_moe": Family(
        separate("attention_bias", False, norm=_per_head("use_qk_norm")),
        after(gated(), experts("gate", "moe_intermediate_size", shared=_SHARED)),
        names=_ROUTED,
        renamed=_STACKS,
    ),
    "llama4_text": Family(
        _TOLD,
        listed(
            gated(width="intermediate_size_mlp", inside="feed_forward"),
            experts(
                "router",
                inside="feed_forward",
                shared=Shared("shared_expert", "intermediate_size"),
                linear_router=True,
                all_run=True,
            ),
        ),
        window=_chunks,
        names=_EXPERTS,
    ),
    # the line of GPT
    "gpt2": Family(
        fused("c_attn", "c_proj", "attn", True),
        plain("c_fc", "c_proj", True),
        norms=4,
        last=2,
        names=_GPT_NAMES,
        learned="transformer.wpe",
        embedding="transformer.wte",
        stack="transformer.h",
    ),
    "gpt_bigcode": Family(
        fused(
            "c_attn", "c_proj", "attn", True, kv=lambda settings: 1 if settings.flag("multi_query") else same(settings)
        ),
        plain("c_fc", "c_proj", True),
        norms=4,
        last=2,
        names=_GPT_NAMES,
        learned="transformer.wpe",
        embedding="transformer.wte",
        stack="transformer.h",
    ),
    "gpt_neo": Family(
        separate(False, True, out="out_proj", inside="attn.attention", kv=same),
        plain("c_fc", "c_proj", True),
        norms=4,
        last=2,
        window=_local,
        names=_NEO_NAMES,
        learned="transformer.wpe",
        embedding="transformer.wte",
        stack="transformer.h",
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
        norms=_one_if("layer_norm_elementwise_affine", 4, 0),
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
