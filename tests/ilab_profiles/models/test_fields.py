from __future__ import annotations

import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from ilab_profiles import Profile, Train
from ilab_profiles.gpus import format_gpus, parse_gpus
from ilab_profiles.models.engines import DeepSpeed, Fsdp
from ilab_profiles.models.fields import Expertise, expertise_of
from ilab_profiles.models.paths import fields


@pytest.mark.parametrize(
    ("written", "ids"),
    [
        ("0-4", (0, 1, 2, 3, 4)),
        ("0:4", (0, 1, 2, 3, 4)),
        ("1,3", (1, 3)),
        ("0-1, 4", (0, 1, 4)),
        (2, (2,)),
        ([3, 1], (1, 3)),
        (-1, ()),
        ("-1", ()),
        ((), ()),
        (2.0, (2,)),
        (None, None),
    ],
)
def test_gpu_selections(written: object, ids: tuple[int, ...] | None) -> None:
    assert parse_gpus(written) == ids


@pytest.mark.parametrize("written", ["4-2", "a", "", "0-", "1,1", [0, 0], [-1, 0], True, 1.5, "0..3", -2, []])
def test_what_is_no_gpu_selection(written: object) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_gpus(written)


@pytest.mark.parametrize("written", [10**400, 1e300, float("inf"), float("nan"), [0, 10_000]])
def test_a_number_that_no_gpu_has_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match="GPU"):
        parse_gpus(written)


@given(st.none() | st.sets(st.integers(0, 40)).map(lambda ids: tuple(sorted(ids))))
def test_a_selection_is_read_back_as_it_was_written(ids: tuple[int, ...] | None) -> None:
    assert parse_gpus(format_gpus(ids)) == ids


def test_every_setting_is_described_in_one_line() -> None:
    for path, info in fields().items():
        assert info.description, path
        assert "\n" not in info.description, path
        assert len(info.description) <= 100, path
        assert expertise_of(info) in Expertise


def test_numbers_have_bounds() -> None:
    unbounded = [
        path
        for path, info in fields().items()
        if {str(info.annotation)} & {"<class 'int'>", "<class 'float'>", "int | None", "float | None"}
        and not any(type(bound).__name__ in {"Ge", "Gt", "Le", "Lt"} for bound in info.metadata)
    ]
    assert unbounded == []


def test_the_proposals_fields_are_there() -> None:
    wanted = """
        train.model_path train.data_path train.output_dir train.num_gpus train.max_seq_len train.max_batch_len
        train.num_epochs train.effective_batch_size train.save_samples train.learning_rate train.warmup_steps
        train.gpus train.device train.model_repo train.accelerator
        train.deepspeed.enabled train.deepspeed.deepspeed_config train.deepspeed.ds_offload_strat
        train.deepspeed.cpu_offload_optimizer train.deepspeed.cpu_offload_params train.deepspeed.quantize_dtype
        train.lora.enabled train.lora.lora_rank train.lora.lora_alpha train.lora.lora_dropout train.lora.target_modules
        generate.model_family generate.gpus generate.chunk_word_count generate.num_instructions
        generate.model_endpoint_url generate.taxonomy_path generate.num_grounded_questions generate.num_samples
        generate.config generate.num_cpus generate.mix.num_util_proc generate.mix.output_dir
        generate.mix.knowledge_recipes generate.mix.skill_recipes
        evaluate.gpus evaluate.benchmarks evaluate.input_dir evaluate.output_dir evaluate.prune evaluate.mmlu.model
        evaluate.mmlu.tasks evaluate.mmlu.few_shots evaluate.mt.model evaluate.mt.endpoint evaluate.mt.api_key
    """.split()
    assert set(wanted) <= set(fields())


def test_a_profile_is_immutable_hashable_and_picklable() -> None:
    profile = Profile(train=Train(num_epochs=3))
    with pytest.raises(ValidationError):
        profile.train = Train()
    assert hash(profile) == hash(Profile(train=Train(num_epochs=3)))
    assert pickle.loads(pickle.dumps(profile)) == profile


@pytest.mark.parametrize(
    ("said", "deepspeed", "fsdp"),
    [
        ({"accelerator": "deepspeed"}, True, False),
        ({"accelerator": "fsdp", "deepspeed": DeepSpeed(zero_stage=3)}, False, True),
        ({"accelerator": "deepspeed", "deepspeed": {"zero_stage": 3}, "fsdp": Fsdp()}, True, False),
        ({"accelerator": "fsdp", "fsdp": Fsdp(enabled=False)}, False, False),
    ],
)
def test_the_shorthand_for_an_engine_holds_in_python_too(said: dict[str, Any], deepspeed: bool, fsdp: bool) -> None:
    train = Train(**said)
    assert (train.deepspeed.enabled, train.fsdp.enabled) == (deepspeed, fsdp)
    assert train.deepspeed.zero_stage == (3 if "deepspeed" in said else 2)


def test_types_are_not_guessed() -> None:
    for wrong in ({"num_epochs": "3"}, {"num_epochs": True}, {"learning_rate": "2e-5"}, {"resume": 1}):
        with pytest.raises(ValidationError):
            Train.model_validate(wrong)


def test_unknown_keys_are_refused_at_every_level() -> None:
    def sections(model: type[BaseModel]) -> list[type[BaseModel]]:
        below = [info.annotation for info in model.model_fields.values()]
        models = [item for item in below if isinstance(item, type) and issubclass(item, BaseModel)]
        return [model, *(found for item in models for found in sections(item))]

    for model in sections(Profile):
        with pytest.raises(ValidationError, match="extra_forbidden"):
            model.model_validate({"no_such_setting": 1})


def test_paths_at_home_are_as_a_shell_would_have_made_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    given = {"taxonomy_path": "~/t", "mix": {"knowledge_recipes": ["~/a.yaml", "b.yaml"], "output_dir": "~no-user/x"}}
    generate = Profile.from_dict({"generate": given}).generate.at_home()
    assert (generate.taxonomy_path, generate.config) == ("/home/me/t", None)
    assert generate.mix.knowledge_recipes == ("/home/me/a.yaml", "b.yaml")
    assert generate.mix.output_dir == "~no-user/x"
    train = Profile.from_dict({"train": {"phases": [{"data_path": "~/d"}], "model_path": "~/m"}}).train.at_home()
    assert (train.phases[0].data_path, train.model_path) == ("/home/me/d", "/home/me/m")
