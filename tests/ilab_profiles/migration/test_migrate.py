from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ilab_profiles import Effective, Finding, InputError, Position, names
from ilab_profiles.catalog import find
from ilab_profiles.edit import render_config
from ilab_profiles.loading.config_file import config_layers, config_settings
from ilab_profiles.loading.layers import read_document
from ilab_profiles.loading.merge import merge
from ilab_profiles.migration.migrate import Migration, migrate
from ilab_profiles.migration.table import OLDER_DEFAULTS, TABLE
from ilab_profiles.models.config import Config
from ilab_profiles.models.paths import fields
from ilab_profiles.models.profile import Profile
from ilab_profiles.yaml.document import Document
from ilab_profiles.yaml.read import parse, read
from ilab_profiles.yaml.write import dump
from tests.conftest import examples

DATA = Path(__file__).parent / "data"
UPSTREAM = Path(__file__).parents[4] / "shared" / "upstream"
OLDER = [
    *sorted(DATA.glob("older_*.yaml")),
    *UPSTREAM.glob("default_config.yaml"),
    *sorted(UPSTREAM.glob("profiles/*/*.yaml")),
]
NOT_OLDER = sorted(
    path for folder in ("recipes", "pipelines", "configs") for path in (UPSTREAM / folder).rglob("*.yaml")
)


def leaves(data: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in data.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def loaded(text: str) -> Effective:
    return merge([read_document(parse(text), "profile", "migrated")])


def new(migration: Migration) -> dict[str, Any]:
    return {item.new: item.new_value for item in migration.mapped}


def why(migration: Migration, old: str) -> str:
    return next(item.why for item in migration.dropped if item.old == old)


def found(migration: Migration) -> dict[str, str]:
    return {finding.path: finding.rule for finding in migration.findings}


def value_at(data: Any, path: str) -> Any:
    for part in path.split("."):
        data = data[int(part) if part.isdigit() else part]
    return data


def of(text: str) -> Migration:
    return migrate(parse(text, "old.yaml"))


def refused(document: Document | Path) -> Finding:
    with pytest.raises(InputError) as caught:
        migrate(document)
    (finding,) = caught.value.findings
    return finding


@pytest.mark.parametrize("path", OLDER, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_key_is_accounted_for_and_the_result_loads(path: Path, tmp_path: Path) -> None:
    migration = migrate(path)
    accounts = (
        {item.old for item in migration.mapped},
        {item.old for item in migration.dropped},
        {finding.path for finding in migration.findings},
    )
    assert set(leaves(read(path).data)) <= set().union(*accounts)
    assert accounts[0].isdisjoint(accounts[1])
    assert all(item.why for item in migration.dropped)
    assert loaded(migration.profile_yaml()).profile == Profile.model_validate(migration.profile)
    (tmp_path / "profile.yaml").write_text(migration.profile_yaml(), encoding="utf-8")
    config = tmp_path / "config.yaml"
    for chosen in ("profile.yaml", None):
        config.write_text(migration.config_yaml(chosen), encoding="utf-8")
        settings, layers = config_settings(config)[0], config_layers(read(config), config)
        assert merge(layers).profile == loaded(migration.profile_yaml()).profile
        assert settings.model_dump(exclude={"profile"}, exclude_unset=True) == migration.config


@pytest.mark.parametrize("path", OLDER, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_the_text_gives_the_mapped_values_back(path: Path) -> None:
    migration = migrate(path)
    profile, config = parse(migration.profile_yaml()).data, parse(migration.config_yaml("mine")).data
    assert config["profile"] == "mine"
    for item in migration.mapped:
        assert value_at(config if item.new in leaves(config) else profile, item.new) == item.new_value


@pytest.mark.parametrize("path", OLDER, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_findings_are_warnings_in_reading_order_with_place_line_and_hint(path: Path) -> None:
    document = read(path)
    findings = migrate(document).findings
    places = [finding.position for finding in findings if finding.position]
    assert len(places) == len(findings)
    assert [(place.line, place.column) for place in places] == sorted((place.line, place.column) for place in places)
    for finding, place in zip(findings, places, strict=True):
        assert finding.severity == "warning"
        assert place.source == str(path)
        assert finding.line_text == document.line(place.line)
        assert finding.path.rpartition(".")[2] in finding.line_text
        assert finding.hint


@pytest.mark.skipif(not UPSTREAM.is_dir(), reason="the older program's own files are not here")
def test_what_was_wrong_in_the_older_programs_own_files() -> None:
    apple, nvidia = UPSTREAM / "profiles" / "apple", UPSTREAM / "profiles" / "nvidia"
    default = found(migrate(UPSTREAM / "default_config.yaml"))
    assert default == {
        "train.distributed_backend": "gpu-setting-on-cpu",
        "train.lora_quantize_dtype": "quantize-needs-lora",
    }
    assert found(migrate(apple / "m2.yaml")) == {"evaluate.gpus": "gpu-setting-on-cpu"}
    assert found(migrate(apple / "m1_ultra.yaml")) == {"train.device": "unsupported-device"}
    for path in nvidia.glob("*.yaml"):
        migration = migrate(path)
        assert found(migration)["train.deepspeed_cpu_offload_optimizer"] == "dead-offload"
        assert new(migration)["train.fsdp.enabled"] is True
        profile = loaded(migration.profile_yaml()).profile
        assert profile.train.num_processes == profile.hardware.count
        assert [phase.num_epochs for phase in profile.train.phases] == [10, 10]


@pytest.mark.parametrize("path", NOT_OLDER, ids=lambda path: path.name)
def test_other_files_of_the_older_program_are_refused(path: Path) -> None:
    assert refused(path).rule == "no-older-config"


def test_a_config_for_the_cpu() -> None:
    migration = migrate(DATA / "older_config.yaml")
    profile = loaded(migration.profile_yaml()).profile
    assert migration.config == {
        "chat": {"greedy_mode": True, "max_tokens": None, "model": "~/models/student.gguf", "vi_mode": True},
        "general": {"log_level": "DEBUG"},
        "serve": {"gpu_layers": 20, "host_port": "0.0.0.0:9000"},
    }
    assert (profile.train.model_path, profile.train.model_repo) == (None, "org/student")
    assert (profile.train.num_epochs, profile.train.save_samples) == (10, 250_000), "the older defaults"
    assert (profile.train.phases, profile.train.fsdp.enabled, profile.train.num_gpus) == ((), False, None)
    assert (profile.generate.config, profile.generate.model) == ("~/pipelines", "~/models/teacher")
    assert (profile.generate.model_family, profile.generate.model_endpoint_url) == ("mixtral", "127.0.0.1:8010")
    assert (profile.evaluate.mmlu.data_dir, profile.evaluate.mt.max_concurrency) == ("~/datasets", 12)
    assert found(migration) == {
        "evaluate.gpus": "gpu-setting-on-cpu",
        "train.nproc_per_node": "gpu-setting-on-cpu",
        "train.distributed_backend": "gpu-setting-on-cpu",
        "train.lora_quantize_dtype": "quantize-needs-lora",
    }
    assert why(migration, "generate.teacher.model_path") == "generate.model comes first, and says otherwise"
    assert "llama-cpp" in why(migration, "generate.teacher.vllm.llm_family")
    assert "train.device was cpu" in why(migration, "train.phased_phase1_num_epochs")


def test_a_system_profile_for_gpus() -> None:
    migration = migrate(DATA / "older_profile.yaml")
    train = loaded(migration.profile_yaml()).profile.train
    assert (train.num_gpus, train.seed, train.learning_rate, train.torchrun.rdzv_id) == (4, 7, 4e-5, "123")
    assert (train.lora.enabled, train.lora.lora_rank, train.lora.lora_alpha) == (True, 2, 16)
    assert train.lora.target_modules == ("q_proj", "k_proj", "v_proj", "o_proj"), "the older default"
    assert (train.deepspeed.quantize_dtype, train.deepspeed.enabled, train.fsdp.enabled) == ("nf4", False, True)
    assert loaded(migration.profile_yaml()).profile.evaluate.gpus == (0, 1, 2, 3)
    assert loaded(migration.profile_yaml()).profile.generate.gpus == (0,)
    assert [(finding.rule, str(finding.position).partition(".yaml:")[2]) for finding in migration.findings] == [
        ("unknown-key", "12:5"),
        ("dead-offload", "19:36"),
        ("unknown-key", "21:3"),
        ("phases-need-data", "26:29"),
    ]


def test_misspelt_keys_are_named_with_the_key_that_was_meant() -> None:
    migration = migrate(DATA / "older_profile.yaml")
    hints = [finding.hint for finding in migration.findings if finding.rule == "unknown-key"]
    assert hints == [
        "did you mean train.additional_args.deepspeed_cpu_offload_optimizer_ratio?",
        "did you mean train.additional_args.learning_rate?",
    ]
    (finding,) = of("version: 1.0.0\nchat: {modle: x}\nzebra: {stripes: 1}\n").findings[:1]
    assert (finding.path, finding.position, finding.hint) == (
        "chat.modle",
        Position("old.yaml", 2, 8),
        "did you mean chat.model?",
    )


def test_phases_take_what_they_leave_out_from_the_older_defaults() -> None:
    migration = migrate(DATA / "older_profile.yaml")
    assert migration.profile["train"]["phases"] == [
        {"num_epochs": 3, "effective_batch_size": 128, "learning_rate": 2e-5, "save_samples": 0},
        {"num_epochs": 10, "effective_batch_size": 3840, "learning_rate": 5e-6, "save_samples": 0},
    ]
    notes = {item.old: item.note for item in migration.mapped if item.new.startswith("train.phases")}
    assert notes["train.phased_phase1_num_epochs"] == ""
    assert "older default" in notes["train.phased_phase2_num_epochs"]


@pytest.mark.parametrize(("count", "ids"), [(0, ()), (1, (0,)), (4, (0, 1, 2, 3)), (12, tuple(range(12)))])
def test_a_number_of_gpus_becomes_a_selection(count: int, ids: tuple[int, ...]) -> None:
    migration = of(f"version: 1.0.0\nevaluate: {{gpus: {count}}}\n")
    assert migration.findings == ()
    assert loaded(migration.profile_yaml()).profile.evaluate.gpus == ids


@pytest.mark.parametrize("count", ["-1", "four", "2.5", "[0, 1]", "true"])
def test_what_is_no_number_of_gpus_is_found(count: str) -> None:
    migration = of(f"version: 1.0.0\nevaluate:\n  gpus: {count}\n")
    (finding,) = migration.findings
    assert (finding.rule, finding.position) == ("bad-value", Position("old.yaml", 3, 9))
    assert migration.profile == {}


def test_offload_is_kept_under_its_own_backend_only() -> None:
    old = "train:\n  device: cuda\n  distributed_backend: {}\n  {}_cpu_offload_optimizer: true\n"
    deepspeed, fsdp = of(old.format("deepspeed", "deepspeed")), of(old.format("fsdp", "fsdp"))
    assert new(deepspeed)["train.deepspeed.cpu_offload_optimizer"] is True
    assert found(deepspeed) == {}
    assert new(fsdp)["train.fsdp.fsdp_cpu_offload"] is True
    assert found(fsdp) == {}
    assert found(of(old.format("deepspeed", "fsdp"))) == {"train.fsdp_cpu_offload_optimizer": "dead-offload"}
    assert found(of(old.format("fsdp", "deepspeed"))) == {"train.deepspeed_cpu_offload_optimizer": "dead-offload"}


def test_what_the_rules_refuse_together_is_left_out_and_found() -> None:
    migration = of("train:\n  nproc_per_node: 1\n  max_seq_len: 4096\n  max_batch_len: 2000\n")
    (finding,) = migration.findings
    assert (finding.rule, finding.position) == ("batch-holds-a-sample", Position("old.yaml", 4, 18))
    assert "max_batch_len" not in migration.profile["train"]
    assert loaded(migration.profile_yaml()).profile.train.max_seq_len == 4096


def test_what_the_rules_warn_about_is_found_and_kept() -> None:
    migration = of("train:\n  device: cuda\n  nproc_per_node: 1\n  additional_args: {learning_rate: 1}\n")
    assert found(migration) == {"train.additional_args.learning_rate": "learning-rate-is-high"}
    assert new(migration)["train.learning_rate"] == 1


def test_values_that_are_out_of_range_are_found_and_left_out() -> None:
    migration = of("train:\n  nproc_per_node: 1\n  num_epochs: 0\n  max_seq_len: long\n  distributed_backend: ddp\n")
    assert found(migration) == dict.fromkeys(
        ("train.num_epochs", "train.max_seq_len", "train.distributed_backend"), "bad-value"
    )
    assert migration.profile["train"] == {"device": "cpu", "num_gpus": 1, "save_samples": 250_000}


def test_a_section_that_is_none() -> None:
    migration = of("version: 1.0.0\ntrain: 5\nserve:\nchat: {}\n")
    assert found(migration) == {"train": "not-a-section"}
    assert {item.old for item in migration.dropped} == {"version", "serve", "chat"}


@pytest.mark.parametrize("name", names())
def test_a_profile_of_today_is_refused(name: str) -> None:
    assert refused(find(name)).rule == "no-older-config"


def test_a_config_of_today_is_refused_at_its_choice_of_a_profile(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(render_config("single_gpu"), encoding="utf-8")
    finding = refused(path)
    assert (finding.rule, finding.path) == ("no-older-config", "profile")
    assert finding.position
    assert finding.line_text.startswith("profile: single_gpu")


@pytest.mark.parametrize("text", ["", "a: 1\n", "version: 1.0.0\n", "chat: {model: x}\n", "train: 5\n", "train: {}\n"])
def test_any_other_file_is_refused(text: str) -> None:
    finding = refused(parse(text, "other.yaml"))
    assert (finding.rule, finding.position) == ("no-older-config", Position("other.yaml", 1, 1))


def test_a_file_that_is_not_there_or_no_yaml_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path / "none.yaml").rule == "unreadable-file"
    (tmp_path / "bad.yaml").write_text("train: [", encoding="utf-8")
    assert refused(tmp_path / "bad.yaml").rule == "yaml-syntax"


def test_every_new_path_of_the_table_is_a_setting() -> None:
    known = {*fields(Profile), *fields(Config)}
    for row in TABLE.values():
        assert {path.partition(".phases.")[0] + (".phases" if ".phases." in path else "") for path in row.new} <= known
        assert row.new or row.note
    assert {path for group in OLDER_DEFAULTS.values() for path in group} <= set(TABLE)


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 9),
    st.integers(),
    st.floats(allow_nan=False),
    st.sampled_from(["cuda", "cpu", "mps", "fsdp", "deepspeed", "nf4", "auto", "vllm", "llama-cpp", "org/name", ""]),
    st.text(st.characters(categories=["L", "N", "P", "S"], include_characters=" "), max_size=5),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.sampled_from(["a", "host"]), st.integers(), max_size=2),
)


@settings(max_examples=examples(200))
@given(st.dictionaries(st.sampled_from(sorted(TABLE)), VALUES, min_size=1))
def test_whatever_the_values_are_the_result_loads_and_nothing_is_lost(flat: dict[str, Any]) -> None:
    data: dict[str, Any] = {"train": {"nproc_per_node": 1}}
    for path, value in flat.items():
        *sections, name = path.split(".")
        here = data
        for part in sections:
            here = here.setdefault(part, {})
        here[name] = value
    migration = migrate(parse(dump(data)))
    assert loaded(migration.profile_yaml()).profile == Profile.model_validate(migration.profile)
    assert parse(migration.config_yaml("mine")).data["profile"] == "mine"
    kept = {item.old for item in migration.mapped} | {item.old for item in migration.dropped}
    assert set(flat) <= kept
