"""What is read from a ``config.json`` is what transformers builds from it, and what peft adds to that."""

from __future__ import annotations

import json
import struct
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ilab_profiles import InputError
from ilab_profiles.estimate.anatomy.defaults import DEFAULTS
from ilab_profiles.estimate.anatomy.families import FAMILIES
from ilab_profiles.estimate.architecture import Architecture, read
from tests.conftest import examples
from tests.ilab_profiles.estimate.published import PUBLISHED

_SMALL = {
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
    name: _SMALL[name] for name in ("vocab_size", "pad_token_id", "bos_token_id", "eos_token_id")
}
_TIED, _UNTIED = {"tie_word_embeddings": True}, {"tie_word_embeddings": False}
_EXPERTS = {"num_experts": 5, "num_experts_per_tok": 2, "moe_intermediate_size": 22}
_LATENT = {
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
_AWKWARD: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", _SMALL | {"head_dim": 10}),
    "llama, biased, tied": ("llama", _SMALL | _TIED | {"attention_bias": True, "mlp_bias": True}),
    "llama, no kv": ("llama", _SMALL | {"num_key_value_heads": None}),
    "granite": ("granite", _SMALL | {"attention_bias": True}),
    "mistral": ("mistral", _SMALL | {"head_dim": 14, "sliding_window": None}),
    "mixtral": ("mixtral", _SMALL | {"num_local_experts": 5}),
    "qwen2": ("qwen2", _SMALL | {"use_sliding_window": True, "max_window_layers": 1, "sliding_window": 9}),
    "qwen2_moe": (
        "qwen2_moe",
        _SMALL | _EXPERTS | {"shared_expert_intermediate_size": 26, "decoder_sparse_step": 2, "qkv_bias": False},
    ),
    "qwen3": ("qwen3", _SMALL | _TIED | {"head_dim": 10, "attention_bias": True}),
    "qwen3_moe": ("qwen3_moe", _SMALL | _EXPERTS | {"mlp_only_layers": [1]}),
    "granitemoe": ("granitemoe", _SMALL | _TIED | {"num_local_experts": 5}),
    "granitemoeshared": ("granitemoeshared", _SMALL | {"num_local_experts": 5, "shared_intermediate_size": 18}),
    "granitemoehybrid": ("granitemoehybrid", _SMALL | _HYBRID | {"mamba_proj_bias": True}),
    "granitemoehybrid, dense": ("granitemoehybrid", _SMALL | _HYBRID | {"num_local_experts": 0}),
    "olmoe": ("olmoe", _SMALL | _EXPERTS),
    "phi": ("phi", _SMALL | {"qk_layernorm": True}),
    "phi3": ("phi3", _SMALL | {"sliding_window": 9}),
    "gemma": ("gemma", _SMALL | {"head_dim": 10}),
    "gemma2": ("gemma2", _SMALL | _UNTIED | {"head_dim": 10, "sliding_window": 9}),
    "gemma3_text": ("gemma3_text", _SMALL | {"head_dim": 10, "sliding_window": 9, "sliding_window_pattern": 2}),
    "gpt2": ("gpt2", _GPT),
    "gpt2, untied": ("gpt2", _GPT | _UNTIED | {"n_inner": None}),
    "gpt_bigcode": ("gpt_bigcode", _GPT | {"multi_query": False}),
    "gpt_neo": (
        "gpt_neo",
        {"hidden_size": 48, "num_layers": 3, "num_heads": 6, "vocab_size": 101, "max_position_embeddings": 37}
        | {"attention_types": [[["global", "local", "global"], 1]], "bos_token_id": 1, "eos_token_id": 2},
    ),
    "gpt_neox": ("gpt_neox", _SMALL | {"attention_bias": False}),
    "gpt_neox, tied": ("gpt_neox", _SMALL | _TIED),
    "gptj": ("gptj", _GPT | {"rotary_dim": 4}),
    "opt": ("opt", _SMALL | {"ffn_dim": 70, "word_embed_proj_dim": 20, "do_layer_norm_before": False}),
    "opt, bare": ("opt", _SMALL | {"ffn_dim": 70, "enable_bias": False, "layer_norm_elementwise_affine": False}),
    "bloom": ("bloom", _GPT | {"n_embed": 48}),
    "falcon": ("falcon", _SMALL | {"bias": True, "multi_query": False, "parallel_attn": False}),
    "falcon, new": ("falcon", _SMALL | _UNTIED | {"num_kv_heads": 3, "new_decoder_architecture": True}),
    "mpt": ("mpt", {"d_model": 48, "n_layers": 3, "n_heads": 6, "vocab_size": 101, "max_seq_len": 37}),
    "stablelm": ("stablelm", _SMALL | {"use_qkv_bias": True, "qk_layernorm": True}),
    "stablelm, parallel": ("stablelm", _SMALL | {"use_parallel_residual": True}),
    "starcoder2": ("starcoder2", _SMALL | {"use_bias": False}),
    "olmo": ("olmo", _SMALL | _TIED),
    "olmo2": ("olmo2", _SMALL),
    "olmo3": ("olmo3", _SMALL | {"sliding_window": 9}),
    "smollm3": ("smollm3", _SMALL | {"mlp_bias": True, "use_sliding_window": True, "sliding_window": 9}),
    "cohere": ("cohere", _SMALL | {"use_qk_norm": True}),
    "cohere2": ("cohere2", _SMALL | _UNTIED | {"head_dim": 10, "sliding_window": 9, "sliding_window_pattern": 2}),
    "deepseek_v2": ("deepseek_v2", _SMALL | _LATENT | {"q_lora_rank": None, "first_k_dense_replace": 1}),
    "deepseek_v3": ("deepseek_v3", _SMALL | _LATENT | {"attention_bias": True, "first_k_dense_replace": 2}),
    "gpt_oss": ("gpt_oss", _SMALL | {"num_local_experts": 5, "num_experts_per_tok": 2, "head_dim": 10}),
    "glm": ("glm", _SMALL | {"head_dim": 10}),
    "glm4": ("glm4", _SMALL | _TIED | {"head_dim": 10, "attention_bias": False}),
    "glm4_moe": (
        "glm4_moe",
        _SMALL | {"n_routed_experts": 6, "moe_intermediate_size": 22, "n_shared_experts": 2, "use_qk_norm": True},
    ),
    "nemotron": ("nemotron", _SMALL | {"head_dim": 10, "mlp_bias": True}),
    "ernie4_5": ("ernie4_5", _SMALL | _UNTIED | {"head_dim": 10, "use_bias": True}),
    "seed_oss": ("seed_oss", _SMALL | {"head_dim": 10, "attention_out_bias": True}),
    "exaone4": ("exaone4", _SMALL | {"sliding_window": 9}),
    "arcee": ("arcee", _SMALL | {"head_dim": 10, "attention_bias": True}),
    "apertus": ("apertus", _SMALL),
    "llama4_text": (
        "llama4_text",
        _SMALL | {"num_local_experts": 5, "intermediate_size_mlp": 26, "head_dim": 10, "interleave_moe_layer_step": 2},
    ),
    "llama4": ("llama4", {"text_config": _SMALL | {"num_local_experts": 2, "head_dim": 8, "moe_layers": [0]}}),
    "gemma3": (
        "gemma3",
        {
            "text_config": _SMALL | {"head_dim": 10},
            "vision_config": {"hidden_size": 20, "intermediate_size": 26, "num_hidden_layers": 2, "image_size": 64}
            | {"num_attention_heads": 4, "patch_size": 16},
        },
    ),
}


def _written(folder: Path, kind: str, config: dict[str, Any]) -> Path:
    """A ``config.json`` without what is ``None`` by our leave, as people write it."""
    (folder / "config.json").write_text(json.dumps({"model_type": kind, **config}, indent=1))
    return folder


def _skeleton(folder: Path) -> Any:
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
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


@pytest.mark.parametrize("name", _AWKWARD)
def test_a_model_is_counted_as_it_is_built(name: str, tmp_path: Path) -> None:
    model = read(_written(tmp_path, *_AWKWARD[name]))
    _as_built(model, _skeleton(tmp_path))
    assert bool(model.unknown) == ("hybrid" in name)


def test_every_family_is_tried() -> None:
    assert set(FAMILIES) == set(DEFAULTS)
    assert set(FAMILIES) <= {kind for kind, _ in _AWKWARD.values()}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_model_has_the_parameters_it_is_published_with(name: str, tmp_path: Path) -> None:
    config, parameters = PUBLISHED[name]
    model = read(_written(tmp_path, config["model_type"], config))
    assert (model.parameters, model.unknown) == (parameters, ())


@pytest.mark.parametrize("kind", FAMILIES)
def test_what_a_file_leaves_out_is_what_transformers_takes(kind: str) -> None:
    transformers = pytest.importorskip("transformers")
    taken = {one.name: one.default for one in fields(type(transformers.AutoConfig.for_model(kind)))}
    for name, value in DEFAULTS[kind].items():
        keys = FAMILIES[kind].names.get(name, name).split()
        assert next(taken[key] for key in keys if key in taken) == value, name


@pytest.mark.parametrize("name", [name for name, (_, config) in _AWKWARD.items() if config.get("sliding_window") == 9])
def test_layers_look_as_far_back_as_they_do_when_they_run(name: str, tmp_path: Path) -> None:
    model = read(_written(tmp_path, *_AWKWARD[name]))
    config = pytest.importorskip("transformers").AutoConfig.from_pretrained(tmp_path)
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
    model = read(_written(folder, kind, config))
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
    "deepseek_v3": [None, ["o_proj", "down_proj"]],
    "gpt_oss": [None],
    "granitemoehybrid": [None, ["in_proj"]],
    "llama4_text": [None, ["router"]],
    "gemma3": [None, ["fc1", "q_proj"]],
}


@pytest.mark.parametrize(("name", "targets"), [(name, one) for name, several in _TARGETS.items() for one in several])
@pytest.mark.filterwarnings("ignore")
def test_adapters_have_as_many_parameters_as_peft_makes(name: str, targets: list[str] | None, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    model, skeleton = read(_written(tmp_path, *_AWKWARD[name])), _skeleton(tmp_path)
    adapters = peft.LoraConfig(r=3, target_modules=targets or "all-linear", task_type="CAUSAL_LM")
    adapted = peft.get_peft_model(skeleton, adapters, low_cpu_mem_usage=True)
    made = sum(one.numel() for name, one in adapted.named_parameters() if "lora_" in name)
    assert model.adapters(3, targets) == made


def test_the_longest_layer_is_the_one_with_the_most_parameters(tmp_path: Path) -> None:
    model = read(_written(tmp_path, "deepseek_v3", _SMALL | _LATENT | {"first_k_dense_replace": 1}))
    assert model.longest_layer is model.layers[1]
    assert (model.layers[0].inner, model.layers[1].inner, model.layers[1].active) == (70, 22 * (2 + 3), 2)


# --- what is not known ------------------------------------------------------------------------------------------------


def _stored(folder: Path, name: str, shapes: dict[str, list[int]]) -> None:
    """A file of weights, but for the weights."""
    tensors = {tensor: {"dtype": "BF16", "shape": shape, "data_offsets": [0, 0]} for tensor, shape in shapes.items()}
    header = json.dumps({"__metadata__": {"format": "pt"}, **tensors}).encode()
    (folder / name).write_bytes(struct.pack("<Q", len(header)) + header)


@pytest.mark.parametrize("surplus", [0, 5, 100_000])
def test_an_unknown_model_has_the_parameters_that_its_files_hold(surplus: int, tmp_path: Path) -> None:
    _written(tmp_path, "tomorrow", {"d_model": 48, "n_layers": 3, "vocab_size": 101})
    _stored(tmp_path, "model-1-of-2.safetensors", {"embed": [101, 48], "scale": []})
    _stored(tmp_path, "model-2-of-2.safetensors", {"layers.0.w": [700 + surplus, 48]})
    model = read(tmp_path)
    assert model.parameters == 101 * 48 + 1 + (700 + surplus) * 48
    assert (model.hidden, len(model.layers)) == (48, 3)
    assert model.unknown == (
        "the architecture tomorrow is not known: layers like llama's are assumed, "
        "with as many parameters as its files hold",
    )


def test_of_the_files_of_an_unknown_model_those_count_that_its_index_names(tmp_path: Path) -> None:
    _written(tmp_path, "tomorrow", {"hidden_size": 48, "num_hidden_layers": 3, "vocab_size": 101})
    _stored(tmp_path, "model-1-of-1.safetensors", {"w": [9000, 48]})
    _stored(tmp_path, "consolidated.safetensors", {"w": [9000, 48]})
    (tmp_path / "model.safetensors.index.json").write_text('{"weight_map": {"w": "model-1-of-1.safetensors"}}')
    assert read(tmp_path).parameters == 9000 * 48


@pytest.mark.parametrize(
    "content", [b"", b"\xff" * 30, struct.pack("<Q", 2) + b"[]", struct.pack("<Q", 9) + b'{"w": {}}']
)
def test_files_of_weights_that_cannot_be_read_count_as_none(content: bytes, tmp_path: Path) -> None:
    _written(tmp_path, "tomorrow", {"hidden_size": 48, "num_hidden_layers": 3, "vocab_size": 101})
    guessed = read(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(content)
    assert read(tmp_path) == guessed
    assert "guessed" in guessed.unknown[0]


def test_what_makes_a_known_family_uncertain_is_said(tmp_path: Path) -> None:
    config = _SMALL | {"auto_map": {"AutoModelForCausalLM": "own.py"}, "quantization_config": {"bits": 4}}
    _written(tmp_path, "llama", config)
    assert [said.partition(" (")[0] for said in read(tmp_path).unknown] == ["its weights are stored quantized"]
    said = read(tmp_path, trust_remote_code=True).unknown
    assert [one.partition(" (")[0] for one in said[:2]] == [
        "code that comes with it builds it",
        "its weights are stored quantized",
    ]
    assert "the architecture llama is not known" in said[2]


def test_of_several_parts_the_language_model_is_counted(tmp_path: Path) -> None:
    alone = read(_written(tmp_path, "qwen2", _SMALL))
    model = read(_written(tmp_path, "qwen2_5_vl", {"text_config": {"model_type": "qwen2", **_SMALL}}))
    assert model.parameters == alone.parameters
    assert model.unknown == ("of qwen2_5_vl only the language model is counted",)


# --- names, and what is refused ---------------------------------------------------------------------------------------


def test_a_name_on_a_hub_is_found_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    model = tmp_path / "hub" / "models--some--model"
    for commit, layers in (("old", 2), ("new", 3)):
        (model / "snapshots" / commit).mkdir(parents=True)
        _written(model / "snapshots" / commit, "llama", _SMALL | {"num_hidden_layers": layers})
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text("old")
    assert len(read("some/model").layers) == 2


def test_the_default_model_needs_neither_files_nor_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    assert read("instructlab/granite-7b-lab").parameters == 6_738_481_152


@pytest.mark.parametrize("name", ["", "nobody/nothing", "/no/such/folder", "model.gguf", "a\0b", "x" * 5000])
def test_what_is_no_model_is_refused_with_a_hint(name: str) -> None:
    with pytest.raises(InputError) as refused:
        read(name)
    assert "config.json" in refused.value.findings[0].hint


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", ["config.json:1:2: error[model-config] not JSON: Expecting property name enclosed in double quotes"]),
        ("[1]", ["config.json:1: error[model-config] must be a JSON object"]),
        ("\xff", ["config.json: error[model-config] cannot be read: it holds no JSON text"]),
        ('{"a": 1}', ["config.json: error[model-config] lacks model_type"]),
        ('{"model_type":\n7}', ["config.json:1:2: error[model-config] model_type must be a name, not 7"]),
        (
            '{"model_type": "llama",\n"hidden_size": -4,\n  "vocab_size": 4.0, "tie_word_embeddings": "no"}',
            [
                "config.json:2:1: error[model-config] hidden_size must be a whole number from 1 to 1,000,000,000, "
                "not -4",
                "config.json:3:3: error[model-config] vocab_size must be a whole number from 1 to 1,000,000,000, "
                "not 4.0",
                'config.json:3:22: error[model-config] tie_word_embeddings must be true or false, not "no"',
            ],
        ),
        (
            '{"hidden_size": 8, "model_type": "seen", "text_config": {"model_type": "gemma2",\n "hidden_size": true}}',
            [
                "config.json:2:2: error[model-config] hidden_size must be a whole number from 1 to 1,000,000,000, "
                "not true"
            ],
        ),
        (
            '{"model_type": "tomorrow"}',
            [
                f"config.json: error[model-config] lacks {name}"
                for name in ("hidden_size", "num_hidden_layers", "vocab_size")
            ],
        ),
        (
            '{"model_type": "gemma2", "layer_types": ["full_attention"]}',
            ["config.json:1:26: error[model-config] layer_types names 1 layers, fewer than there are"],
        ),
    ],
)
def test_all_that_is_wrong_is_told_at_once_with_its_place(text: str, said: list[str], tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError) as refused:
        read(tmp_path)
    told = [str(finding).partition("\n")[0] for finding in refused.value.findings]
    assert told == [f"{tmp_path}/{line}" for line in said]


def test_a_folder_without_a_configuration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"config\.json: error\[model-config\] cannot be read: No such file"):
        read(tmp_path)
