from __future__ import annotations

import importlib.metadata
import pickle
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

import ilab_profiles
import ilab_profiles.models.phase
from ilab_profiles import InputError, Profile, check, diff, explain, load, names, resolve
from ilab_profiles.models.paths import fields, is_secret
from ilab_profiles.yaml.document import masked
from ilab_profiles.yaml.read import parse


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files lie in the working folder, so that relative paths in them stay as they are written."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", names())
def test_to_dict_and_to_yaml_are_read_back_as_the_same_profile(name: str, tmp_path: Path) -> None:
    profile = load(name)
    assert Profile.from_dict(profile.to_dict()) == profile
    assert Profile.from_dict(parse(profile.to_yaml()).data) == profile
    path = tmp_path / "copy.yaml"
    path.write_text(profile.to_yaml(), encoding="utf-8")
    assert load(str(path)) == profile
    assert pickle.loads(pickle.dumps(profile)) == profile


def test_replace_gives_a_new_checked_profile() -> None:
    profile = load("single_gpu")
    other = profile.replace(**{"train.num_epochs": 3, "train.lora.lora-rank": 4, "train.gpus": "1"})
    assert (other.train.num_epochs, other.train.lora.lora_rank, other.train.gpus) == (3, 4, (1,))
    assert profile.train.num_epochs == 10
    assert {entry.path for entry in diff(profile, other)} == {"train.num_epochs", "train.lora.lora_rank", "train.gpus"}
    with pytest.raises(InputError, match="quantize-needs-lora"):
        profile.replace(**{"train.lora.enabled": False})
    with pytest.raises(InputError, match=r"train\.num_epochs"):
        profile.replace(**{"train.num_epoch": 3})
    with pytest.raises(InputError, match="bad-value"):
        profile.replace(**{"train.num_epochs": "many"})
    with pytest.raises(InputError, match=r"it holds train\.model_path"):
        profile.replace(train={"num_epochs": 3})
    with pytest.raises(InputError, match="duplicate-key"):
        profile.replace(**{"train.epochs": 3, "train.num_epochs": 4})


@pytest.mark.parametrize("name", names())
def test_every_profile_may_be_replaced_and_keeps_its_values(name: str) -> None:
    profile = load(name)
    assert profile.replace() == profile
    assert profile.replace(description="mine").train == profile.train


def test_replace_takes_what_python_has_for_a_value() -> None:
    phases: list[object] = [{"name": "a", "num-epochs": 2.0}, ilab_profiles.models.phase.Phase(name="b")]
    for value in (phases, tuple(phases)):
        changed = load("cpu_only").replace(**{"train.phases": value, "train.output_dir": Path("runs/x")}).train
        assert [(phase.name, phase.num_epochs) for phase in changed.phases] == [("a", 2), ("b", None)]
        assert changed.output_dir == "runs/x"
    with pytest.raises(InputError) as caught:
        load("cpu_only").replace(**{"train.phases": [{"nam": "a"}, {"num_epochs": 0}, 3]})
    told = {(finding.rule, finding.path) for finding in caught.value.findings}
    assert told == {
        ("unknown-key", "train.phases.0.nam"),
        ("bad-value", "train.phases.1.num_epochs"),
        ("bad-value", "train.phases.2"),
    }


def test_from_dict_takes_every_spelling_and_reports_all_that_is_wrong() -> None:
    profile = Profile.from_dict({"train": {"epochs": 4, "max-seq-len": 100}, "evaluate": {"mt-bench": {"model": "m"}}})
    assert (profile.train.num_epochs, profile.train.max_seq_len, profile.evaluate.mt.model) == (4, 100, "m")
    with pytest.raises(InputError) as caught:
        Profile.from_dict({"trian": {}, "train": {"num_epochs": 0, "deepspeed": {"cpu_offload_optimizer": True}}})
    rules = {finding.rule for finding in caught.value.findings}
    assert rules == {"unknown-key", "bad-value", "optimizer-offload-needs-deepspeed"}
    assert {str(finding.position) for finding in caught.value.findings} == {"<data>"}


def test_from_dict_extends_as_a_file_does() -> None:
    profile = Profile.from_dict({"extends": "single-gpu", "train": {"num_epochs": 3}})
    assert profile == load("single_gpu").replace(**{"train.num_epochs": 3})
    for base in ("nope", 3, ["single_gpu"]):
        with pytest.raises(InputError, match=r"extends|nope"):
            Profile.from_dict({"extends": base})


@pytest.mark.parametrize(
    "data", [None, [], "single_gpu", 5, {1: 2}, {None: {}}, {"train": [1]}, {"train": load("cpu_only").train}]
)
def test_what_is_no_profile_is_a_finding(data: Any) -> None:
    with pytest.raises(InputError):
        Profile.from_dict(data)


def test_odd_objects_are_findings() -> None:
    class Odd:
        def __eq__(self, other: object) -> bool:
            raise ValueError("as arrays of NumPy do")

        __hash__ = None  # type: ignore[assignment]

    for path in fields():
        with pytest.raises(InputError, match="bad-value"):
            load("cpu_only").replace(**{path: Odd()})


def test_a_path_names_a_profile_too(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("train: {num_epochs: 3}\n", encoding="utf-8")
    assert load(path).train.num_epochs == resolve(path, environ={}).profile.train.num_epochs == 3
    assert check(path) == ()
    with pytest.raises(TypeError):
        load(5)  # type: ignore[arg-type]


def test_the_names_of_the_package_can_be_completed() -> None:
    assert set(ilab_profiles.__all__) <= set(dir(ilab_profiles))


def test_diff_speaks_of_values_and_what_follows_from_them_with_units() -> None:
    found = {entry.path: entry for entry in diff(load("multi_gpu"), load("multi_gpu/h100_x2"))}
    assert (found["train.gpus"].left, found["train.gpus"].right) == ("0-7", "0-1")
    world = found["train.world_size"]
    assert (world.left, world.right, world.unit, world.derived) == (8, 2, "processes", True)
    assert found["train.max_batch_len"].unit == "tokens"
    assert diff(load("multi_gpu"), load("multi-gpu")) == []


def test_explain_tells_value_origin_and_what_is_shadowed(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("profile:\n  extends: multi_gpu\n  train: {learning_rate: 3e-5}\n", encoding="utf-8")
    found = resolve(
        config_file=config,
        environ={"ILAB_TRAIN__LEARNING_RATE": "4e-5"},
        flags={"train.learning_rate": "5e-5"},
        flag_name={"train.learning_rate": "--learning-rate"},
    )
    told = explain(found, "train.learning-rate")
    assert (told.path, told.value, told.bounds) == ("train.learning_rate", 5e-5, "a number above 0")
    assert (told.origin.kind, str(told.origin.position)) == ("flag", "--learning-rate")
    assert [(given.kind, given.value) for given in told.shadowed] == [
        ("environment", 4e-5),
        ("config", 3e-5),
        ("profile", 2e-5),
        ("default", 2e-5),
    ]
    assert told.in_phases == (5e-5, 5e-5)
    assert str(told.shadowed[1].position) == f"{config}:3:26"
    assert "5e-05" in str(told)


def test_explain_refuses_what_is_no_setting() -> None:
    found = resolve(environ={})
    for path, hint in {"train.lora": "train.lora.lora_rank", "train.num_epoch": "num_epochs", "": ""}.items():
        with pytest.raises(InputError) as caught:
            explain(found, path)
        assert hint in caught.value.findings[0].hint


def test_explain_derives_with_formula_and_numbers() -> None:
    found = resolve("multi_gpu/h100_x2", environ={}, flags={"train.phases": [], "train.effective_batch_size": 96})
    world = explain(found, "train.world_size")
    assert (world.value, world.numbers) == (2, "2 * 1")
    accumulation = explain(found, "train.gradient_accumulation")
    assert (accumulation.value, accumulation.unit) == (4, "microbatches")
    assert accumulation.numbers == "ceil(48 / floor(54000 / 4096))"
    assert explain(found, "train.steps_per_epoch", samples=800).value == 9
    assert explain(found, "train.tokens_per_batch").value == 96 * 4096
    with pytest.raises(InputError, match="steps_per_epoch"):
        explain(found, "train.steps_per_epoch")


SOURCES = ["default", "base", "profile", "config", "environment", "flag"]


@pytest.mark.parametrize("mask", range(2**5))
def test_precedence_in_every_combination_of_sources(mask: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of the five sources that may speak does or does not: the strongest that does wins, the rest is shadowed."""
    monkeypatch.setenv("ILAB_PROFILE_DIR", str(tmp_path))
    speaks = {source: bool(mask >> n & 1) for n, source in enumerate(SOURCES[1:])}

    def text(source: str, **more: str) -> str:
        lines = [f"{key}: {value}" for key, value in more.items()]
        return "\n".join([*lines, f"train: {{seed: {SOURCES.index(source)}}}" if speaks[source] else "train: {}", ""])

    (tmp_path / "base.yaml").write_text(text("base"), encoding="utf-8")
    (tmp_path / "mine.yaml").write_text(text("profile", extends="base"), encoding="utf-8")
    body = text("config", extends="mine").replace("\n", "\n  ").rstrip()
    config = tmp_path / "config.yaml"
    config.write_text(f"profile:\n  {body}\n", encoding="utf-8")
    found = resolve(
        config_file=config,
        environ={"ILAB_TRAIN__SEED": "4"} if speaks["environment"] else {},
        flags={"train.seed": "5"} if speaks["flag"] else {},
    )
    said = [SOURCES.index(source) for source in SOURCES[1:] if speaks[source]]
    assert found.profile.train.seed == (said[-1] if said else 42)
    assert [setting.value for setting in found.settings.get("train.seed", ())] == said
    told = explain(found, "train.seed")
    assert [told.origin.value, *(given.value for given in told.shadowed)] == [*reversed(said), 42]


@pytest.mark.parametrize(
    "text",
    ["extends: base.yaml\ntrain: {seed: 7}\n", "profile: {extends: base.yaml, train: {seed: 7}}\n"],
)
def test_a_file_of_settings_for_once_may_extend_a_profile(tmp_path: Path, text: str) -> None:
    (tmp_path / "base.yaml").write_text("train: {num_epochs: 9, seed: 1}\n", encoding="utf-8")
    (tmp_path / "once.yaml").write_text(text, encoding="utf-8")
    found = resolve("cpu_only", settings_file=tmp_path / "once.yaml", section="train", environ={}).profile
    assert (found.train.num_epochs, found.train.seed) == (9, 7)
    assert found.description == load("cpu_only").description
    (tmp_path / "once.yaml").write_text("extends: nope\n", encoding="utf-8")
    with pytest.raises(InputError, match="unknown-profile"):
        resolve("cpu_only", settings_file=tmp_path / "once.yaml", section="train", environ={})


def test_lists_are_replaced_and_sections_merged(tmp_path: Path) -> None:
    base = tmp_path / "base.yaml"
    base.write_text("train: {lora: {enabled: true, target_modules: [a, b]}}\n", encoding="utf-8")
    mine = tmp_path / "mine.yaml"
    mine.write_text("extends: base.yaml\ntrain: {lora: {target_modules: c}}\n", encoding="utf-8")
    lora = load(str(mine)).train.lora
    assert (lora.enabled, lora.target_modules) == (True, ("c",))


KEY = "sk-PLANTED-93x"


def test_a_secret_appears_nowhere(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(f"generate: {{api_key: {KEY}, model_endpoint_url: 'https://h.example'}}\n", encoding="utf-8")
    profile = load(str(path))
    assert profile.generate.api_key == SecretStr(KEY)
    effective = resolve(str(path), environ={"ILAB_EVALUATE__MT__API_KEY": KEY})
    told: list[Any] = [profile, effective, profile.to_dict(), profile.to_yaml(), profile.model_dump(mode="json")]
    told += [explain(effective, "generate.api_key"), explain(effective, "evaluate.mt.api_key")]
    told += [diff(profile, load("cpu_only"))]
    assert diff(profile, profile.replace(**{"generate.api_key": "other"})) != []
    for item in told:
        assert KEY not in repr(item)
        assert KEY not in str(item)


@pytest.mark.parametrize(
    "text",
    [
        "generate: {{api_key: [{key}]}}",
        "generate: {{api_keyy: {key}}}",
        "generate: {{zebra: 1, api-kye: {key}}}",
        "generate:\n  api-kye:{key}",
        "generate: {{api-key: '{key}', num_samples: 0}}",
        "generate:\n  api_key: |\n    {key}\n  api_key: {key}\n",
        "generate: {{api_key: {{x: {key}}}}}",
        "generate: {{api_key: !!int {key}}}",
        "generate: {{api_key: {key}",
        "generate:\n  api_key:\n    - {key}\n",
        "generate: {{apikey: [x, {key}]}}",
        "generate: {{api-kye: {{a: x, b: {key}}}}}",
        'generate: {{api_kye: "a\\"{key}"}}',
    ],
)
def test_a_secret_is_in_no_finding(text: str, tmp_path: Path) -> None:
    from ilab_profiles.views.reports import FORMATS, report

    path = tmp_path / "p.yaml"
    path.write_text(text.format(key=KEY), encoding="utf-8")
    findings = ilab_profiles.check(str(path))
    assert findings
    for form in FORMATS:
        assert KEY not in report(findings, form)
    assert KEY.encode() not in pickle.dumps(findings)
    assert KEY not in repr(findings)


@pytest.mark.parametrize("name", [path.rpartition(".")[2] for path in fields() if is_secret(path)])
def test_a_secret_is_masked_under_a_name_that_is_nearly_right(name: str) -> None:
    for written in (name, name.upper(), name[:-2] + name[:-3:-1], name.replace("_", "")):
        assert KEY not in masked(f"{{x: 1, {written}: {KEY}, y: 2}}")


def test_a_wrong_secret_from_the_environment_is_not_told() -> None:
    with pytest.raises(InputError) as caught:
        resolve("cpu_only", environ={"ILAB_GENERATE__API_KEYY": KEY, "ILAB_TRAIN__NUM_EPOCHS": "x"})
    assert KEY not in str(caught.value) + repr(caught.value)


# --- profiles, their names and settings in force are looked at alike --------------------------------------------------


@pytest.mark.parametrize("subject", ["single_gpu", load("single_gpu"), resolve("single_gpu", environ={})])
def test_explain_and_diff_take_names_profiles_and_settings_in_force(subject: Any) -> None:
    assert explain(subject, "train.epochs").value == 10
    assert explain(subject, "train.epochs").origin.kind == "profile"
    assert explain(subject, "train.seed").origin.kind == "default"
    assert diff(subject, "single_gpu") == []
    assert {item.path for item in diff("cpu_only", subject)} >= {"train.num_epochs", "train.lora.enabled"}


def test_what_cannot_be_looked_at_is_told() -> None:
    with pytest.raises(TypeError, match="not int"):
        diff(3, "cpu_only")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="replace"):
        resolve(load("cpu_only"))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="unknown-profile"):
        explain("cpu_onli", "train.seed")


def test_the_library_tells_its_version() -> None:
    assert ilab_profiles.__version__ == importlib.metadata.version("ilab-profiles")


@pytest.mark.parametrize("text", ['["q_proj", "v_proj"]', "q_proj,v_proj", "[q_proj, v_proj]"])
def test_variables_read_lists_as_flags_do(text: str) -> None:
    name, path = "ILAB_TRAIN__LORA__TARGET_MODULES", "train.lora.target_modules"
    on = {"train.lora.enabled": True}
    by_variable = resolve("cpu_only", environ={name: text}, flags=on).profile
    by_flag = resolve("cpu_only", environ={}, flags={path: text, **on}).profile
    assert by_variable.train.lora.target_modules == by_flag.train.lora.target_modules == ("q_proj", "v_proj")


@pytest.mark.parametrize(
    ("text", "means"), [("true", "batch"), ("True", "batch"), ("false", "none"), ("none", "none"), ("full", "full")]
)
def test_variables_and_flags_may_say_true_and_false_for_packing_as_files_do(text: str, means: str) -> None:
    by_variable = resolve("cpu_only", environ={"ILAB_TRAIN__PACKING": text}).profile
    by_flag = resolve("cpu_only", environ={}, flags={"train.packing": text}).profile
    assert by_variable.train.packing == by_flag.train.packing == means


@pytest.mark.parametrize("how", [{"profile": ""}, {"environ": {"ILAB_PROFILE": ""}}])
def test_an_empty_name_is_no_profile(how: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="unknown-profile"):
        resolve(**how)
