"""What is read from a ``config.json`` is what transformers builds from it, and what peft adds to that."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ilab_profiles.estimate.anatomy.defaults import DEFAULTS
from ilab_profiles.estimate.anatomy.families import FAMILIES
from ilab_profiles.estimate.architecture import Architecture, read
from tests.conftest import examples
from tests.ilab_profiles.estimate.configs import AWKWARD, LATENT, SMALL, written
from tests.ilab_profiles.estimate.published import PUBLISHED


def _skeleton(folder: Path) -> Any:
    torch, transformers = (
        pytest.importorskip("torch", reason="needs the extra `train`"),
        pytest.importorskip("transformers", reason="needs the extra `train`"),
    )
    with torch.device("meta"):
        return transformers.AutoModelForCausalLM.from_config(transformers.AutoConfig.from_pretrained(folder))


def _parameters(module: Any) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _linears(skeleton: Any) -> dict[str, tuple[int, int]]:
    """Parameters and sides of the linear layers of a model but its head, by name."""
    from torch.nn import Linear
    from transformers.pytorch_utils import Conv1D

    head = skeleton.get_output_embeddings()
    found = ((name, layer) for name, layer in skeleton.named_modules() if isinstance(layer, (Linear, Conv1D)))
    return {name: (_parameters(layer), sum(layer.weight.shape)) for name, layer in found if layer is not head}


def _as_built(model: Architecture, skeleton: Any) -> None:
    assert model.parameters == _parameters(skeleton)
    assert {name: (one.parameters, one.inputs + one.outputs) for name, one in model.linears()} == _linears(skeleton)
    layers = list(skeleton.get_submodule(model.stack))
    assert [layer.parameters for layer in model.layers] == [_parameters(layer) for layer in layers]
    ends = (skeleton.get_input_embeddings(), skeleton.get_output_embeddings())
    learned = [
        skeleton.get_submodule(one.path) for one in model.outside[1:-1] if one.name in ("wpe", "embed_positions")
    ]
    outside = {id(one): one.numel() for module in (*ends, *learned) for one in module.parameters()}
    assert model.embedding + model.head == sum(outside.values())


@pytest.mark.parametrize("name", AWKWARD)
def test_a_model_is_counted_as_it_is_built(name: str, tmp_path: Path) -> None:
    model = read(written(tmp_path, *AWKWARD[name]))
    _as_built(model, _skeleton(tmp_path))
    assert bool(model.unknown) == name.startswith(("granitemoehybrid", "qwen3_5", "qwen3_next"))


def test_every_family_is_tried() -> None:
    assert set(FAMILIES) == set(DEFAULTS)
    assert set(FAMILIES) <= {kind for kind, _ in AWKWARD.values()}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_model_has_the_parameters_it_is_published_with(name: str, tmp_path: Path) -> None:
    config, parameters = PUBLISHED[name]
    model = read(written(tmp_path, config["model_type"], config))
    assert (model.parameters, model.unknown) == (parameters, ())


_KEPT_NOWHERE = {"full_attention_interval"}
"""What transformers reads, and keeps only as what follows from it."""


@pytest.mark.parametrize("kind", FAMILIES)
def test_what_a_file_leaves_out_is_what_transformers_takes(kind: str) -> None:
    transformers = pytest.importorskip("transformers", reason="needs the extra `train`")
    taken = {one.name: one.default for one in fields(type(transformers.AutoConfig.for_model(kind)))}
    for name, value in DEFAULTS[kind].items():
        keys = FAMILIES[kind].names.get(name, name).split()
        if name not in _KEPT_NOWHERE:
            assert next(taken[key] for key in keys if key in taken) == value, name


@pytest.mark.parametrize("name", [name for name, (_, config) in AWKWARD.items() if config.get("sliding_window") == 9])
def test_layers_look_as_far_back_as_they_do_when_they_run(name: str, tmp_path: Path) -> None:
    model = read(written(tmp_path, *AWKWARD[name]))
    config = pytest.importorskip("transformers", reason="needs the extra `train`").AutoConfig.from_pretrained(tmp_path)
    kinds = getattr(config, "layer_types", None) or ["sliding_attention"] * len(model.layers)
    assert [layer.window for layer in model.layers] == [9 if kind == "sliding_attention" else None for kind in kinds]


@settings(max_examples=examples(25))
@given(st.data())
def test_sizes_of_any_kind_are_counted(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("model")
    size = st.integers(1, 40)
    kv_heads, groups, width = data.draw(size), data.draw(st.integers(1, 4)), 2 * data.draw(size)
    config: dict[str, Any] = {
        "num_attention_heads": kv_heads * groups,
        "num_key_value_heads": kv_heads,
        "hidden_size": kv_heads * groups * width,
        "intermediate_size": data.draw(size),
        "num_hidden_layers": data.draw(st.integers(1, 3)),
        "vocab_size": data.draw(st.integers(5, 90)),
        "head_dim": data.draw(st.sampled_from([width, 2, 6])),
        **{name: data.draw(st.booleans()) for name in ("tie_word_embeddings", "attention_bias", "mlp_bias")},
    }
    kind = data.draw(st.sampled_from(["llama", "mistral", "qwen3", "gemma"]))
    model = read(written(folder, kind, config))
    assert model.parameters == _parameters(_skeleton(folder))


# --- adapters ---------------------------------------------------------------------------------------------------------

_TARGETS: dict[str, list[list[str] | None]] = {
    "llama": [None, ["q_proj", "v_proj"], ["mlp.down_proj", "model.layers.1.self_attn.o_proj"], ["embed_tokens"]],
    "gpt2": [None, ["attn.c_proj"], ["c_proj", "wpe"]],
    "gpt_neox, tied": [None, ["query_key_value", "lm_head"]],
    "opt": [None, ["project_in", "fc1"]],
    "phi3": [["qkv_proj", "gate_up_proj"]],
    "mixtral": [None, ["q_proj", "w1", "w3", "w2"], ["k_proj"]],
    "qwen2_moe": [None, ["shared_expert.up_proj"]],
    "qwen3_moe": [None, ["q_proj", "gate_proj", "up_proj", "down_proj"], ["v_proj", "gate"]],
    "qwen3_next": [None],
    "qwen3_5_moe_text": [None],
    "deepseek_v3": [None, ["o_proj", "down_proj"]],
    "gpt_oss": [None],
    "granitemoehybrid": [None, ["in_proj"]],
    "llama4_text": [None, ["router"]],
    "gemma3": [None, ["fc1", "q_proj"]],
}


@pytest.mark.parametrize(("name", "targets"), [(name, one) for name, several in _TARGETS.items() for one in several])
@pytest.mark.filterwarnings("ignore")
def test_adapters_have_as_many_parameters_as_peft_makes(name: str, targets: list[str] | None, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft", reason="needs the extra `train`")
    model, skeleton = read(written(tmp_path, *AWKWARD[name])), _skeleton(tmp_path)
    adapters = peft.LoraConfig(r=3, target_modules=targets or "all-linear", task_type="CAUSAL_LM")
    adapted = peft.get_peft_model(skeleton, adapters, low_cpu_mem_usage=True)
    made = sum(one.numel() for name, one in adapted.named_parameters() if "lora_" in name)
    assert model.adapters(3, targets) == made


def test_the_longest_layer_is_the_one_with_the_most_parameters(tmp_path: Path) -> None:
    model = read(written(tmp_path, "deepseek_v3", SMALL | LATENT | {"first_k_dense_replace": 1}))
    assert model.longest_layer is model.layers[1]
    assert (model.layers[0].inner, model.layers[1].inner, model.layers[1].active) == (70, 22 * (2 + 3), 2)
