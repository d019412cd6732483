"""One rule of precedence for phases too: what a stronger source says goes over what they say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ilab_profiles import Effective, InputError, check, diff, explain, load, names, resolve
from ilab_profiles.views.derived import derived

SOURCES = ["profile", "config", "environment", "flag"]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files lie in the working folder, so that relative paths in them stay as they are written."""
    monkeypatch.chdir(tmp_path)


def of(tmp_path: Path, source: str, path: str, value: Any) -> Effective:
    """multi_gpu with one setting more, which comes from a source of this kind."""
    section, _, name = path.partition(".")
    mine = f"extends: multi_gpu\n{section}: {{{name}: {value}}}\n"
    (tmp_path / "mine.yaml").write_text(mine)
    config = tmp_path / "config.yaml"
    config.write_text("profile:\n  " + mine.replace("\n", "\n  ") if source == "config" else "profile: multi_gpu\n")
    return resolve(
        str(tmp_path / "mine.yaml") if source == "profile" else None,
        config_file=config,
        environ={f"ILAB_{section.upper()}__{name.upper()}": str(value)} if source == "environment" else {},
        flags={path: str(value)} if source == "flag" else {},
        flag_name={path: f"--{name}"},
    )


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize(
    ("name", "value"),
    [("num_epochs", 3), ("learning_rate", 1e-5), ("effective_batch_size", 64), ("save_samples", 90_000)],
)
def test_what_a_stronger_source_says_holds_in_every_phase(tmp_path: Path, source: str, name: str, value: Any) -> None:
    found = of(tmp_path, source, f"train.{name}", value)
    before, train = load("multi_gpu").train, found.profile.train
    for old, phase in zip(before.phases, train.phases, strict=True):
        own = getattr(phase, name)
        assert (getattr(train, name) if own is None else own) == value
        assert phase.model_copy(update={name: None}) == old.model_copy(update={name: None})
    assert not found.warnings
    told = explain(found, f"train.phases.1.{name}")
    assert told.value == value
    if name != "save_samples":  # which the phases themselves leave unset
        assert told.origin == explain(found, f"train.{name}").origin
        assert (told.origin.kind, told.shadowed[0].value) == (source, getattr(before.phases[1], name))
        assert str(told.shadowed[0].position).startswith("profile multi_gpu (line ")


@pytest.mark.parametrize("source", SOURCES)
def test_data_of_a_stronger_source_take_the_place_of_the_phases(tmp_path: Path, source: str) -> None:
    found = of(tmp_path, source, "train.data_path", "mine.jsonl")
    assert (found.profile.train.phases, found.profile.train.data_path) == ((), "mine.jsonl")
    (warning,) = found.warnings
    assert (warning.rule, warning.path, warning.severity) == ("phases-replaced", "train.data_path", "warning")
    assert "the phases that profile multi_gpu has" in warning.message
    data, phases = found.origin("train.data_path"), found.origin("train.phases")
    assert data is not None
    assert phases is not None
    assert warning.position == data.position() == phases.position()
    assert warning.line_text == ("" if source in ("environment", "flag") else found_line(tmp_path, source))
    told = explain(found, "train.phases")
    assert (told.value, told.origin.kind, len(told.shadowed[0].value)) == ([], source, 2)
    assert "train.tokens_per_batch" in derived(found.profile)


def found_line(tmp_path: Path, source: str) -> str:
    file = tmp_path / ("mine.yaml" if source == "profile" else "config.yaml")
    return next(line for line in file.read_text().splitlines() if "data_path" in line)


def test_what_is_said_beside_the_phases_or_below_them_leaves_them_as_they_are(tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("train: {num_epochs: 3, data_path: mine.jsonl, phases: [{num_epochs: 5}, {data_path: b.jsonl}]}\n")
    train = load(mine).train
    assert [(phase.num_epochs, phase.data_path) for phase in train.phases] == [(5, None), (None, "b.jsonl")]
    found = resolve(str(mine), environ={"ILAB_TRAIN__NUM_EPOCHS": "4"}, flags={"train.phases": "{num_epochs: 6}, {}"})
    assert [phase.num_epochs for phase in found.profile.train.phases] == [6, None]
    assert (found.profile.train.data_path, found.warnings) == ("mine.jsonl", ())


def test_who_says_that_there_are_no_phases_is_not_warned(tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("extends: multi_gpu\ntrain: {data_path: mine.jsonl, phases: []}\n")
    assert check(mine) == ()


def test_the_rule_holds_for_changes_in_python_too() -> None:
    multi = load("multi_gpu")
    assert [phase.num_epochs for phase in multi.replace(**{"train.num_epochs": 3}).train.phases] == [3, 3]
    assert multi.replace(**{"train.data_path": "mine.jsonl"}).train.phases == ()
    assert multi.replace(**{"train.seed": 3}).train.phases == multi.train.phases


@pytest.mark.parametrize("name", [name for name in names() if name.startswith("multi_gpu/") and "rtx" not in name])
def test_sub_profiles_leave_the_phases_as_they_are(name: str) -> None:
    assert load(name).train.phases == load("multi_gpu").train.phases


def test_a_wrong_value_is_told_once(tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("extends: multi_gpu\ntrain: {num_epochs: 0, data_path: ''}\n")
    assert [(finding.rule, finding.path) for finding in check(mine) if finding.severity == "error"] == [
        ("bad-value", "train.num_epochs"),
        ("bad-value", "train.data_path"),
    ]


def test_what_follows_is_told_for_each_phase() -> None:
    told = derived(load("multi_gpu"), samples=10_000)
    assert [told[f"train.phases.{number}.tokens_per_batch"].value for number in (0, 1)] == [128 * 4096, 3840 * 4096]
    assert told["train.phases.1.steps_per_epoch"].numbers == "ceil(10000 / 3840)"
    assert told["train.phases.1.samples_per_process"].formula == "ceil(phases.1.effective_batch_size / world_size)"
    assert (told["train.world_size"].value, "train.tokens_per_batch" in told) == (8, False)
    with pytest.raises(InputError, match=r"in-phases(?s:.*)train.phases.0.tokens_per_batch, train.phases.1"):
        explain(resolve("multi_gpu", environ={}), "train.tokens_per_batch")


def test_lists_of_sections_are_compared_item_by_item() -> None:
    multi = load("multi_gpu")
    first, second = multi.to_dict()["train"]["phases"]
    other = multi.replace(**{"train.phases": [first, second | {"learning_rate": 5e-6}]})
    (found,) = diff(multi, other)
    assert (found.path, found.left, found.right) == ("train.phases.1.learning_rate", 6e-6, 5e-6)
    shorter = multi.replace(**{"train.phases": [first]})
    assert ("train.phases.1", None) in [(item.path, item.right) for item in diff(multi, shorter)]
    assert ("train.tokens_per_batch", None) in [(item.path, item.right) for item in diff(load("cpu_only"), multi)]


def test_rules_look_at_each_phase_by_itself(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    text = "extends: multi_gpu\ntrain:\n  phases:\n    - {name: a, data_path: x, effective_batch_size: 3}\n    "
    path.write_text(f"{text}- {{name: b, data_path: y, learning_rate: 50, effective_batch_size: 16}}\n")
    found = {(finding.rule, finding.path, str(finding.position)) for finding in check(str(path))}
    assert found == {
        ("batch-covers-processes", "train.phases.0.effective_batch_size", "mine.yaml:4:53"),
        ("learning-rate-is-high", "train.phases.1.learning_rate", "mine.yaml:5:46"),
    }


def test_what_is_wrong_with_the_whole_training_is_not_said_of_each_phase(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("extends: multi_gpu\ntrain: {max_batch_len: 100}\n")
    assert [finding.path for finding in check(str(path))] == ["train.max_batch_len"]


def test_a_rule_about_a_phase_points_to_the_value_that_brings_it_about(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("extends: multi_gpu\ntrain: {save_samples: 2000}\n")
    (finding,) = check(str(path))
    assert (finding.rule, finding.path) == ("checkpoint-after-every-step", "train.save_samples")
    assert str(finding.position) == f"{path.name}:2:23"


def test_a_default_that_stands_in_for_a_wrong_value_breaks_no_rule_in_a_phase(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("train: {effective_batch_size: x, phases: [{name: a, data_path: x, save_samples: 50}]}\n")
    assert [finding.rule for finding in check(str(path))] == ["bad-value"]


def test_what_holds_in_every_phase_is_not_said_to_be_under_itself(tmp_path: Path) -> None:
    found = explain(of(tmp_path, "profile", "train.num_epochs", 3), "train.phases.0.num_epochs")
    assert (found.value, [given.value for given in found.shadowed]) == (3, [7])


@pytest.mark.parametrize("value", ["null", '""'])
def test_no_data_take_the_place_of_no_phases(tmp_path: Path, value: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(f"extends: multi_gpu\ntrain: {{data_path: {value}}}\n")
    assert [finding.rule for finding in check(str(path))] == ["bad-value"]
