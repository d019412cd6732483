"""Where a relative path starts: in a file from its folder, in flags and variables from the working folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ilab_profiles import load, resolve
from ilab_profiles.catalog import config_file, project_folder
from ilab_profiles.loading.config_file import config_settings
from ilab_profiles.models.config import Config
from ilab_profiles.models.fields import Section, is_path
from ilab_profiles.models.paths import fields
from ilab_profiles.models.profile import Profile
from ilab_profiles.rules.language import value_at
from ilab_profiles.yaml.write import dump

BESIDE: Mapping[str, Mapping[str, Any]] = {
    "train.deepspeed.deepspeed_config": {"train.deepspeed.enabled": True},
    "train.deepspeed.nvme_path": {
        "train.deepspeed.enabled": True,
        "train.deepspeed.zero_stage": 3,
        "train.deepspeed.ds_offload_strat": "nvme",
        "train.deepspeed.cpu_offload_params": True,
    },
}


def paths_of(model: type[Section]) -> list[str]:
    return [path for path, info in fields(model).items() if is_path(info)]


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for path, value in values.items():
        *sections, name = path.split(".")
        here = data
        for section in sections:
            here = here.setdefault(section, {})
        here[name] = value
    return data


@pytest.fixture
def below(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project: we work in a folder of it, files lie in others."""
    folder = tmp_path / "work"
    folder.mkdir()
    (tmp_path / "files").mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("ILAB_PROFILE_DIR", str(tmp_path / "own"))
    monkeypatch.delenv("ILAB_CONFIG", raising=False)
    return folder


@pytest.mark.parametrize("path", paths_of(Profile))
def test_every_path_in_a_file_starts_from_its_folder_and_from_flags_from_ours(below: Path, path: str) -> None:
    (below.parent / "files" / "there").mkdir()
    value: Any = ["there"] if isinstance(fields()[path].get_default(), tuple) else "there"
    settings = {**BESIDE.get(path, {}), path: value}
    (below.parent / "files" / "mine.yaml").write_text(dump(nested(settings)))
    found = value_at(load("../files/mine.yaml"), path)
    assert found in ("../files/there", ("../files/there",))
    flagged = resolve("../files/mine.yaml", environ={}, flags={path: "there"}).profile
    assert value_at(flagged, path) in ("there", ("there",))
    named = {f"ILAB_{path.upper().replace('.', '__')}": "there"}
    assert value_at(resolve("../files/mine.yaml", environ=named).profile, path) in ("there", ("there",))


@pytest.mark.parametrize("path", paths_of(Config))
def test_every_path_in_config_yaml_starts_from_its_folder(below: Path, path: str) -> None:
    (below.parent / "there").mkdir()
    (below.parent / "config.yaml").write_text(dump(nested({path: "there"}) | {"profile": "cpu_only"}))
    section, name = path.split(".")
    assert getattr(getattr(config_settings()[0], section), name) == "../there"


def test_paths_of_phases_and_several_in_one_text_start_there_too(below: Path) -> None:
    text = "extends: multi_gpu\ntrain:\n  phases: [{data_path: a.jsonl}, {data_path: /b.jsonl}]\n"
    text += "generate: {mix: {knowledge_recipes: 'a.yaml, ~/b.yaml'}}\n"
    (below.parent / "files" / "mine.yaml").write_text(text)
    profile = load("../files/mine.yaml")
    assert [phase.data_path for phase in profile.train.phases] == ["../files/a.jsonl", "/b.jsonl"]
    assert profile.generate.mix.knowledge_recipes == ("../files/a.yaml", "~/b.yaml")


def test_the_name_of_a_model_on_a_hub_is_no_path(below: Path) -> None:
    (below.parent / "files" / "mine.yaml").write_text("evaluate: {model: org/name}\n")
    assert load("../files/mine.yaml").evaluate.model == "org/name"
    (below.parent / "files" / "org" / "name").mkdir(parents=True)
    assert load("../files/mine.yaml").evaluate.model == "../files/org/name"


def in_force() -> Profile:
    return resolve(config_file=config_file(), project=project_folder(), environ={}).profile


def test_a_command_does_the_same_from_every_folder_of_a_project(below: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (below.parent / "own").mkdir()
    (below.parent / "own" / "mine.yaml").write_text("extends: multi_gpu\ntrain: {output_dir: out}\n")
    (below.parent / "config.yaml").write_text("profile: mine\n")
    deep = below / "deep"
    deep.mkdir()
    monkeypatch.chdir(deep)
    assert config_file() == Path("../../config.yaml")
    profile = in_force()
    assert (profile.train.output_dir, profile.generate.output_dir) == ("../../out", "../../generated")
    assert profile.train.phases[0].data_path == "../../generated/mixed/knowledge_train.jsonl"
    monkeypatch.chdir(below.parent)
    profile = in_force()
    assert (profile.train.output_dir, profile.generate.output_dir) == ("out", "generated")


def test_the_nearest_config_yaml_of_ours_counts_and_no_other_programs(
    below: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (below.parent / "config.yaml").write_text("profile: single_gpu\n")
    assert config_file() == Path("../config.yaml")
    (below / "deep").mkdir()
    (below / "config.yaml").write_text("debug: true\n")
    monkeypatch.chdir(below / "deep")
    assert config_file() == Path("../../config.yaml")
    (below / "config.yaml").write_text("# mine\nserve: {}\n")
    assert config_file() == Path("../config.yaml")
    monkeypatch.setenv("HOME", str(below / "deep"))
    assert config_file() is None
    monkeypatch.setenv("HOME", str(below))
    assert config_file() == Path("../config.yaml")
