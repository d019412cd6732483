"""What is found of a model in its folder, in the cache or by its name; what is not known of it is said, or refused."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ilab_profiles import InputError
from ilab_profiles.estimate.anatomy.defaults import DEFAULTS
from ilab_profiles.estimate.architecture import read
from tests.ilab_profiles.estimate.configs import AWKWARD, SMALL, written

_WHOLE = "must be a whole number from 1 to 1,000,000,000, not"


def _stored(folder: Path, name: str, shapes: dict[str, list[int]]) -> None:
    """A file of weights, but for the weights."""
    tensors = {tensor: {"dtype": "BF16", "shape": shape, "data_offsets": [0, 0]} for tensor, shape in shapes.items()}
    header = json.dumps({"__metadata__": {"format": "pt"}, **tensors}).encode()
    (folder / name).write_bytes(struct.pack("<Q", len(header)) + header)


@pytest.mark.parametrize("surplus", [0, 5, 100_000])
def test_an_unknown_model_has_the_parameters_that_its_files_hold(surplus: int, tmp_path: Path) -> None:
    written(tmp_path, "tomorrow", {"d_model": 48, "n_layers": 3, "vocab_size": 101})
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
    written(tmp_path, "tomorrow", {"hidden_size": 48, "num_hidden_layers": 3, "vocab_size": 101})
    _stored(tmp_path, "model-1-of-1.safetensors", {"w": [9000, 48]})
    _stored(tmp_path, "consolidated.safetensors", {"w": [9000, 48]})
    (tmp_path / "model.safetensors.index.json").write_text('{"weight_map": {"w": "model-1-of-1.safetensors"}}')
    assert read(tmp_path).parameters == 9000 * 48


@pytest.mark.parametrize(
    "content", [b"", b"\xff" * 30, struct.pack("<Q", 2) + b"[]", struct.pack("<Q", 9) + b'{"w": {}}']
)
def test_files_of_weights_that_cannot_be_read_count_as_none(content: bytes, tmp_path: Path) -> None:
    written(tmp_path, "tomorrow", {"hidden_size": 48, "num_hidden_layers": 3, "vocab_size": 101})
    guessed = read(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(content)
    assert read(tmp_path) == guessed
    assert "guessed" in guessed.unknown[0]


def test_what_makes_a_known_family_uncertain_is_said(tmp_path: Path) -> None:
    config = SMALL | {"auto_map": {"AutoModelForCausalLM": "own.py"}, "quantization_config": {"bits": 4}}
    written(tmp_path, "llama", config)
    assert [said.partition(" (")[0] for said in read(tmp_path).unknown] == ["its weights are stored quantized"]
    said = read(tmp_path, trust_remote_code=True).unknown
    assert [one.partition(" (")[0] for one in said[:2]] == [
        "code that comes with it builds it",
        "its weights are stored quantized",
    ]
    assert "the architecture llama is not known" in said[2]


def test_of_several_parts_the_language_model_is_counted(tmp_path: Path) -> None:
    alone = read(written(tmp_path, "qwen2", SMALL))
    model = read(written(tmp_path, "qwen2_5_vl", {"text_config": {"model_type": "qwen2", **SMALL}}))
    assert model.parameters == alone.parameters
    assert model.unknown == ("of qwen2_5_vl only the language model is counted",)


# --- names, and what is refused ---------------------------------------------------------------------------------------


def test_a_name_on_a_hub_is_found_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    model = tmp_path / "hub" / "models--some--model"
    for commit, layers in (("old", 2), ("new", 3)):
        (model / "snapshots" / commit).mkdir(parents=True)
        written(model / "snapshots" / commit, "llama", SMALL | {"num_hidden_layers": layers})
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
                f"config.json:2:1: error[model-config] hidden_size {_WHOLE} -4",
                f"config.json:3:3: error[model-config] vocab_size {_WHOLE} 4.0",
                'config.json:3:22: error[model-config] tie_word_embeddings must be true or false, not "no"',
            ],
        ),
        (
            '{"hidden_size": 8, "model_type": "seen", "text_config": {"model_type": "gemma2",\n "hidden_size": true}}',
            [f"config.json:2:2: error[model-config] hidden_size {_WHOLE} true"],
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


_ANYTHING = st.one_of(
    *(st.none(), st.booleans(), st.integers(-2, 3), st.integers(), st.floats(), st.text(max_size=5)),
    *(st.lists(st.integers(0, 2), max_size=3), st.dictionaries(st.text(max_size=3), st.integers(), max_size=2)),
)


@given(st.data())
def test_whatever_a_file_says_is_counted_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    kind, config = AWKWARD[data.draw(st.sampled_from(sorted(AWKWARD)))]
    wrong = data.draw(st.dictionaries(st.sampled_from(sorted({*config, *DEFAULTS["llama"]})), _ANYTHING, max_size=3))
    folder = written(tmp_path_factory.mktemp("model"), kind, config | wrong)
    try:
        model = read(folder)
    except InputError:
        return
    assert model.parameters > 0
    assert model.adapters(2) > 0


def test_a_folder_without_a_configuration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"config\.json: error\[model-config\] cannot be read: No such file"):
        read(tmp_path)
