from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import ilab_profiles
from ilab_profiles import InputError, Position, check, load, names, resolve
from ilab_profiles.catalog import built_in_folder
from ilab_profiles.yaml.read import read


def write(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return str(path)


def refused(name: str) -> tuple[ilab_profiles.Finding, ...]:
    with pytest.raises(InputError) as caught:
        load(name)
    return caught.value.findings


@pytest.mark.parametrize("name", names())
def test_every_built_in_profile_loads(name: str) -> None:
    assert load(name).description


def test_the_three_profiles_of_the_proposal() -> None:
    cpu, single, multi = load("cpu_only"), load("single_gpu"), load("multi_gpu")
    assert (cpu.train.gpus, cpu.generate.gpus, cpu.evaluate.gpus) == ((), (), ())
    assert not cpu.train.deepspeed.enabled
    assert not cpu.train.phases
    assert cpu.evaluate.benchmarks == ()
    assert 100 <= single.generate.num_instructions <= 500
    assert single.train.lora.enabled
    assert single.train.deepspeed.enabled
    assert single.train.num_epochs >= 10
    assert single.evaluate.benchmarks
    assert multi.generate.num_instructions >= 500
    assert multi.train.deepspeed.enabled
    assert not multi.train.lora.enabled
    assert multi.train.deepspeed.quantize_dtype is None
    assert len(multi.train.phases) == 2
    assert [profile.expertise for profile in (cpu, single, multi)] == ["basic", "advanced", "expert"]


def test_names_may_be_written_with_dashes() -> None:
    assert load("multi-gpu") == load("multi_gpu")
    assert load("multi-gpu/l40s-x4") == load("multi_gpu/l40s_x4")
    assert {"cpu_only", "single_gpu", "multi_gpu", "multi_gpu/l40s_x4"} <= set(names())


def test_sub_profiles_hold_only_what_differs() -> None:
    for path in built_in_folder().glob("*/*.yaml"):
        data = read(path).data
        base = load(data["extends"])
        for section in ("generate", "train", "evaluate"):
            for key, value in data.get(section, {}).items():
                if not isinstance(value, dict):
                    written = getattr(getattr(base, section), key)
                    assert written != getattr(getattr(load(str(path)), section), key), f"{path.name}: {section}.{key}"


def test_hardware_of_a_sub_profile_agrees_with_its_gpus() -> None:
    for name in names():
        profile = load(name)
        if profile.hardware.count:
            assert profile.train.gpus == tuple(range(profile.hardware.count)), name


def test_a_profile_of_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ILAB_PROFILE_DIR", str(tmp_path))
    write(tmp_path / "mine.yaml", "extends: single-gpu\ntrain: {num-epochs: 3}\n")
    write(tmp_path / "team/big.yaml", "profile:\n  extends: mine\n  train: {learning_rate: 1e-4}\n")
    assert "team/big" in names()
    profile = load("team/big")
    assert (profile.train.num_epochs, profile.train.learning_rate, profile.train.lora.enabled) == (3, 1e-4, True)


def test_a_base_is_looked_for_beside_the_file(tmp_path: Path) -> None:
    write(tmp_path / "base.yaml", "train: {epochs: 7}\n")
    assert load(write(tmp_path / "mine.yaml", "extends: base.yaml\n")).train.num_epochs == 7


def test_an_unknown_name_gets_the_nearest_one() -> None:
    (finding,) = refused("singel_gpu")
    assert "single_gpu" in finding.hint


def test_a_missing_base_is_reported_where_it_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.yaml", "train: {}\nextends: multi_gpo\n")
    (finding,) = refused(path)
    assert finding.position == Position(path, 2, 10)
    assert "multi_gpu" in finding.hint


def test_a_circle_is_reported_with_its_chain(tmp_path: Path) -> None:
    write(tmp_path / "a.yaml", "extends: b.yaml\n")
    write(tmp_path / "b.yaml", "extends: a.yaml\n")
    (finding,) = refused(str(tmp_path / "a.yaml"))
    assert finding.rule == "extends-circle"
    assert "a -> b -> a" in finding.message


@pytest.mark.parametrize(
    "texts",
    [
        {"a": "profile: a.yaml\n"},
        {"a": "profile: {extends: a.yaml}\n"},
        {"a": "profile: b.yaml\n", "b": "profile: ./a.yaml\n"},
        {"a": "extends: b.yaml\n", "b": "profile: {extends: a.yaml}\n"},
        {"a": "profile: {extends: b.yaml}\n", "b": "profile: a.yaml\n"},
    ],
)
def test_a_circle_may_lead_through_config_files(tmp_path: Path, texts: dict[str, str]) -> None:
    for name, text in texts.items():
        write(tmp_path / f"{name}.yaml", text)
    (finding,) = refused(str(tmp_path / "a.yaml"))
    assert finding.rule == "extends-circle"
    assert finding.position is not None
    assert finding.position.line == 1


def test_a_base_that_is_not_there_hides_no_other_finding(tmp_path: Path) -> None:
    found = refused(write(tmp_path / "mine.yaml", "extends: nope\ntrain: {num_epoch: 3}\n"))
    assert [finding.rule for finding in found] == ["unknown-profile", "unknown-key"]
    found = refused(write(tmp_path / "config.yaml", "profile: nope\nserve: {host_port: 1}\nchta: {}\n"))
    assert [finding.rule for finding in found] == ["unknown-profile", "unknown-key", "bad-value"]


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("extends: single_gpu.yaml\n", "did you mean single_gpu?"),
        ("train: {NUM_EPOCHS: 3}\n", "did you mean num_epochs?"),
        ("train:\n  num_epochs:3\n", "a space after the colon"),
        ("profile: single_gpu\ntrain: {num_epochs: 3}\n", "inside `profile:`"),
        ("extends: single_gpu\nprofile: {train: {num_epochs: 3}}\n", "inside `profile:`"),
        ("extend: single_gpu\n", "did you mean extends?"),
        ("profiel: single_gpu\n", "did you mean profile?"),
        ("zebra: 1\n", "evaluate, extends, profile"),
    ],
)
def test_common_slips_get_a_hint_that_helps(tmp_path: Path, text: str, hint: str) -> None:
    (finding,) = refused(write(tmp_path / "p.yaml", text))
    assert hint in finding.hint


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("train: {resume:\n  yes}\n", '"yes": must be true or false'),
        ("train: {phases:\n  x}\n", "x: must be a list"),
        ("train: {phases:\n  [{name: phase01}, {}]}\n", "phase01"),
        ("train: {phases: [{name:\n  a/b}]}\n", "a/b: "),
        ("train: {phases: [{name:\n  ..}]}\n", "..: must be the name of a folder"),
        ("train: {phases: [{name:\n  model}]}\n", "model: must not be a name that the folder of the run uses"),
        ("train: {gpus:\n  .inf}\n", ".inf: must be"),
        ("train: {output_dir:\n  ''}\n", "must not be empty"),
        ("profile:\n  [single_gpu]\n", "[single_gpu]: must be"),
    ],
)
def test_a_wrong_value_is_told_once_at_its_place_as_yaml_writes_it(tmp_path: Path, text: str, said: str) -> None:
    path = write(tmp_path / "p.yaml", text)
    (finding,) = refused(path)
    assert said in finding.message
    assert finding.position == Position(path, 2, 3)


@pytest.mark.parametrize("name", ["a/b", "..", "model", "run.yaml", "checkpoints", "handovers.jsonl", "evaluation"])
def test_what_a_phase_may_be_called_is_told(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "p.yaml", f"train: {{phases: [{{name:\n  {name}}}]}}\n")
    (finding,) = refused(path)
    assert finding.position == Position(path, 2, 3)
    assert finding.hint.startswith("write a name without slashes and without a dot in front, none of checkpoints, ")


def test_a_home_or_folder_that_cannot_be_read_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ILAB_PROFILE_DIR", "x" * 5_000)
    assert load("cpu_only").description
    assert "cpu_only" in names()
    for name in ("~nobody-of-that-name/x.yaml", "..yaml", "~"):
        assert refused(name)[0].rule == "unknown-profile"


def test_all_findings_come_at_once_each_at_its_place(tmp_path: Path) -> None:
    text = """extends: single-gpu
train:
  epoch: 3
  num-epochs: yes
  gpus: 4-2
  lora: {enabled: false, lora-rank: 0}
evaluate: {outpur-dir: x, mmlu: {few-shots: 1, tasks: mmlu-pr}}
generate: {mix: {sill-recipes: a.yaml}, api_key: 12345}
"""
    findings = refused(write(tmp_path / "bad.yaml", text))
    places = {
        finding.path: (finding.position.line, finding.position.column) for finding in findings if finding.position
    }
    assert places == {
        "train.epoch": (3, 3),
        "train.num_epochs": (4, 15),
        "train.gpus": (5, 9),
        "train.deepspeed.quantize_dtype": (6, 19),
        "train.lora.lora_rank": (6, 37),
        "evaluate.outpur-dir": (7, 12),
        "generate.mix.sill-recipes": (8, 18),
        "generate.api_key": (8, 50),
    }
    hints = {finding.path: finding.hint for finding in findings}
    assert "epochs" in hints["train.epoch"]
    assert "output_dir" in hints["evaluate.outpur-dir"]
    assert "skill_recipes" in hints["generate.mix.sill-recipes"]
    assert "12345" not in "\n".join(map(str, findings))


def test_two_spellings_of_one_key_are_refused(tmp_path: Path) -> None:
    (finding,) = refused(write(tmp_path / "p.yaml", "train:\n  epochs: 1\n  num_epochs: 2\n"))
    assert finding.rule == "duplicate-key"
    assert finding.position is not None
    assert finding.position.line == 3


def test_flags_over_environment_over_config_over_profile(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    write(config, "profile:\n  extends: single_gpu\n  train: {num_epochs: 4, learning_rate: 3e-4, seed: 7}\n")
    found = resolve(
        config_file=config,
        environ={"ILAB_TRAIN__NUM_EPOCHS": "5", "ILAB_TRAIN__LEARNING_RATE": "4e-4", "HOME": "/"},
        flags={"train.num_epochs": "6"},
        flag_name={"train.num_epochs": "--num-epochs"},
    )
    train = found.profile.train
    assert (train.num_epochs, train.learning_rate, train.seed, train.lora.enabled) == (6, 4e-4, 7, True)
    given = found.settings["train.num_epochs"]
    assert [(item.kind, item.value) for item in given] == [
        ("profile", 10),
        ("config", 4),
        ("environment", 5),
        ("flag", 6),
    ]
    assert str(given[1].position()) == f"{config}:3:23"
    assert str(given[3].position()) == "--num-epochs"
    assert found.origin("train.weight_decay") is None


def test_no_profile_means_cpu_only() -> None:
    assert resolve(environ={}).profile == load("cpu_only")


def test_a_wrong_variable_or_flag_is_named() -> None:
    with pytest.raises(InputError, match=r"ILAB_TRAIN__NUM_EPOCH: .*\n.*train.num_epochs"):
        resolve(environ={"ILAB_TRAIN__NUM_EPOCH": "5"})
    with pytest.raises(InputError, match=r"^--num-epochs: .*whole number"):
        resolve(environ={}, flags={"train.num_epochs": "many"}, flag_name={"train.num_epochs": "--num-epochs"})


@pytest.mark.parametrize(
    ("text", "deepspeed", "fsdp"),
    [
        ("train: {accelerator: deepspeed}", True, False),
        ("train: {accelerator: fsdp}", False, True),
        ("extends: multi_gpu\ntrain: {accelerator: fsdp}", False, True),
    ],
)
def test_accelerator_is_a_shorthand(tmp_path: Path, text: str, deepspeed: bool, fsdp: bool) -> None:
    train = load(write(tmp_path / "p.yaml", text)).train
    assert (train.deepspeed.enabled, train.fsdp.enabled, train.accelerator) == (deepspeed, fsdp, None)


def test_an_unknown_accelerator_is_refused(tmp_path: Path) -> None:
    (finding,) = refused(write(tmp_path / "p.yaml", "train: {accelerator: horovod}"))
    assert finding.path == "train.accelerator"


def test_importing_the_library_loads_nothing_heavy() -> None:
    code = "import ilab_profiles, sys; print(*sys.modules)"
    loaded = set(
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    )
    assert not loaded & {"torch", "transformers", "typer", "numpy", "ilab_cli", "pydantic_settings", "ruamel.yaml"}


def test_who_switches_a_section_off_is_not_warned_of_the_numbers_that_a_base_gave_it(tmp_path: Path) -> None:
    off = "extends: single_gpu\ntrain: {lora: {enabled: false}, deepspeed: {quantize_dtype: null}}\n"
    assert check(write(tmp_path / "off.yaml", off)) == ()
    idle = "train: {lora: {enabled: false, lora_rank: 3}}\n"
    assert [finding.rule for finding in check(write(tmp_path / "idle.yaml", idle))] == ["lora-rank-needs-lora"]
