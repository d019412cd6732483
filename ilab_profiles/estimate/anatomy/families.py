"""The families of models that are known: what their layers are made of, and what they call their settings.

A table, as transformers builds them; the tests hold it against transformers itself. Where a family's ``config.json``
may leave a setting out, :mod:`~ilab_profiles.estimate.anatomy.defaults` has what transformers takes.
"""

from __future__ import annotations

from ilab_profiles.estimate.anatomy.attention import Norm, compressed, fused, own, separate
from ilab_profiles.estimate.anatomy.family import Family
from ilab_profiles.estimate.anatomy.gpt import GPT_FAMILIES
from ilab_profiles.estimate.anatomy.mlps import (
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
from ilab_profiles.estimate.anatomy.states import delta, mamba, mixed
from ilab_profiles.estimate.anatomy.windows import chunks, every, late, listed_ones, swa, switched

__all__ = ["FAMILIES"]


def _per_head(when: str = "") -> Norm:
    return Norm(each=False, when=when)


def _stablelm_norms(settings: Settings) -> int:
    return 2 if settings.flag("use_parallel_residual") else 4


_TOLD = separate("attention_bias")
_GRANITE_SHARED = Shared("shared_mlp", "shared_intermediate_size", packed=True)
_MIXTRAL_STACKS = {"gate": "gate", "w1": "gate_up_proj", "w3": "gate_up_proj", "w2": "down_proj"}
_STACKS = {"gate": "gate", "gate_proj": "gate_up_proj", "up_proj": "gate_up_proj", "down_proj": "down_proj"}
_EXPERTS = {"num_experts": "num_local_experts num_experts"}
_ROUTED = {"num_experts": "n_routed_experts num_local_experts num_experts"}
_SHARED = Shared("shared_experts", "moe_intermediate_size", times="n_shared_experts")
_QWEN_SHARED = Shared("shared_expert", "shared_expert_intermediate_size", gate="shared_expert_gate")

_QWEN_GATED = separate("attention_bias", norm=_per_head(), gate=True)
_QWEN_EXPERTS = stepped(gated(), experts("gate", "moe_intermediate_size", shared=_QWEN_SHARED))

FAMILIES: dict[str, Family] = {
    # llama, and what differs from it in a bias, a norm or a window
    "llama": Family(_TOLD, gated("mlp_bias")),
    "granite": Family(_TOLD, gated("mlp_bias")),
    "granite_swa": Family(separate("attention_bias", sinks=True), gated("mlp_bias"), window=every(4, first=True)),
    "mistral": Family(separate(), gated(), window=swa),
    "ministral3": Family(separate(), gated(), window=swa),
    "qwen2": Family(separate(True, False), gated(), window=late),
    "qwen3": Family(separate("attention_bias", norm=_per_head()), gated(), window=late),
    "qwen3_5_text": Family(mixed(delta(True), _QWEN_GATED, "full_attention_interval"), gated()),
    "gemma": Family(_TOLD, gated()),
    "gemma2": Family(_TOLD, gated(), norms=4, window=every(2)),
    "gemma3_text": Family(
        separate("attention_bias", norm=_per_head()), gated(), norms=4, window=every(6, "sliding_window_pattern")
    ),
    "olmo": Family(_TOLD, gated(), norms=0, last=0),
    "olmo2": Family(separate("attention_bias", norm=Norm(each=True)), gated()),
    "olmo3": Family(separate("attention_bias", norm=Norm(each=True)), gated(), window=every(4)),
    "smollm3": Family(_TOLD, gated("mlp_bias"), window=listed_ones),
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
        norms=_stablelm_norms,
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
        _QWEN_EXPERTS,
    ),
    "qwen3_moe": Family(
        separate("attention_bias", norm=_per_head()),
        stepped(gated(), experts("gate", "moe_intermediate_size")),
        window=switched,
        names=_EXPERTS,
        renamed=_STACKS,
    ),
    "qwen3_next": Family(mixed(delta(False), _QWEN_GATED, "full_attention_interval"), _QWEN_EXPERTS, renamed=_STACKS),
    "qwen3_5_moe_text": Family(
        mixed(delta(True), _QWEN_GATED, "full_attention_interval"),
        experts("gate", "moe_intermediate_size", shared=_QWEN_SHARED),
    ),
    "olmoe": Family(separate("attention_bias", norm=Norm(each=True)), experts("gate"), renamed=_STACKS),
    "granitemoe": Family(_TOLD, experts("router", inside="block_sparse_moe"), names=_EXPERTS),
    "granitemoeshared": Family(
        _TOLD, experts("router", inside="block_sparse_moe", shared=_GRANITE_SHARED), names=_EXPERTS
    ),
    "granitemoehybrid": Family(
        mixed(mamba, _TOLD),
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
        window=chunks,
        names=_EXPERTS,
    ),
    **GPT_FAMILIES,
}
