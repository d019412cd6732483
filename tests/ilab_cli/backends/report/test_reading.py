"""Files that nobody vouches for, thinned curves, and what runs have in common."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from ilab_cli.backends.report.answers import read_choices, read_judgements
from ilab_cli.backends.report.compare import changes, difference, paired, settings
from ilab_cli.backends.report.curves import STRETCHES, thin
from ilab_cli.backends.report.folders import RunFolder, read_runs
from ilab_cli.backends.report.rows import number, rows_of, short, text
from ilab_cli.backends.report.scores import Figure, read_evaluation
from ilab_cli.backends.report.training import read_training
from ilab_profiles import Finding, InputError
from tests.ilab_cli.backends.report import made


def read(*folders: Path) -> list[RunFolder]:
    return read_runs(folders, lambda _: "")


# --- curves -----------------------------------------------------------------------------------------------------------


def test_a_spike_among_many_points_keeps_its_height_and_place() -> None:
    x = [float(at) for at in range(100_000)]
    y = [math.sin(at / 9000) for at in x]
    y[54_321], y[99_998] = 40.0, -7.0
    curve = thin(x, y)
    assert len(curve.x) <= 2 * STRETCHES + 2
    assert {(54_321.0, 40.0), (99_998.0, -7.0), (x[0], y[0]), (x[-1], y[-1])} <= {*zip(*curve, strict=True)}
    assert curve.x == sorted(curve.x)


def test_a_short_curve_stays_as_it_is() -> None:
    assert thin([1.0, 2.0], [5.0, 4.0]) == ([1.0, 2.0], [5.0, 4.0])


def test_phases_follow_one_another(tmp_path: Path) -> None:
    run = made.manifest(tmp_path / "run", "train", phases=[{"name": "first"}, {"data_path": "other"}])
    for name in ("first", "phase01"):
        made.training(run / name, steps=20)
    training = read_training(*read(run))
    assert training.steps == 40
    assert training.phases == [(0.0, "first"), (160.0, "phase01")]
    assert training.curves["loss"].x[-1] == 320.0
    assert [item.phase for item in training.checkpoints] == ["first", "phase01"]


def test_what_was_predicted_and_what_was_measured(tmp_path: Path) -> None:
    run = made.training(tmp_path / "run", steps=40)
    assert read_training(*read(run)).compared == []
    told = """predicted_and_measured:
  memory: {predicted: 2147483648, low: 1, high: 3, measured: 1073741824}
  time: {after_step: 20, predicted: 100.0, measured: 125}
  disk: {predicted: null, measured: 12000000}
"""
    with (run / "run.yaml").open("a") as file:
        file.write(told)
    assert read_training(*read(run)).compared == [
        ("memory of a process, at most", "2.0 GiB", "1.0 GiB", "\N{MINUS SIGN}50%"),
        ("time after step 20", "0:01:40", "0:02:05", "+25%"),
        ("left on the disk", "", "12.0 MB", ""),
    ]


def test_what_phases_handed_over_and_which_checkpoints_were_deleted(tmp_path: Path) -> None:
    run = made.manifest(tmp_path / "run", "train", phases=[{"name": "first"}])
    made.training(run / "first", steps=60)
    row = {
        "phase": "first",
        "model": "m",
        "best": "samples_0000320",
        "score": 0.5,
        "stderr": 0.02,
        "why": "it is ahead",
    }
    made.lines(run / "handovers.jsonl", [row, {**row, "best": None, "score": None, "why": "not evaluated: no room"}])
    gone = {"best": {"samples_0000480": {"score": 0.6}}, "deleted": {"samples_0000080": {"samples": 80, "score": 0.2}}}
    (run / "first" / "pruned.json").write_text(json.dumps(gone))
    training = read_training(*read(run))
    assert training.handovers == [
        "first handed over samples_0000320 (0.5 ± 0.02): it is ahead",
        "first handed over its last checkpoint: not evaluated: no room",
    ]
    found = {item.name: item for item in training.checkpoints}
    assert [*found] == ["samples_0000080", "samples_0000160", "samples_0000320", "samples_0000480"]
    assert (found["samples_0000080"].remarks, found["samples_0000080"].score) == (("deleted",), 0.2)
    assert (found["samples_0000480"].remarks, found["samples_0000480"].score) == (("★ best score",), 0.6)


def test_what_is_no_number_is_no_point(tmp_path: Path) -> None:
    run = made.manifest(tmp_path / "run", "train")
    rows = [
        '{"samples": 1, "loss": 2.5}',
        '{"samples": 2, "loss": NaN, "grad_norm": null}',
        '{"samples": 3, "loss": 1e999}',
    ]
    (run / "metrics.jsonl").write_text("\n".join(rows))
    training = read_training(*read(run))
    assert training.curves["loss"] == ([1.0], [2.5])
    assert "grad_norm" not in training.curves


# --- files ------------------------------------------------------------------------------------------------------------


def test_a_torn_line_is_left_out_and_told(tmp_path: Path) -> None:
    file, findings = tmp_path / "rows.jsonl", list[Finding]()
    file.write_bytes(b'{"a": 1}\n[2]\n\n{"a": 3}\n{"a": \xff}\n{"a": 4')
    assert [row["a"] for row in rows_of(file, findings)] == [1, 3]
    (finding,) = findings
    assert (finding.severity, finding.position and finding.position.line) == ("warning", 2)
    assert "3 lines were left out" in finding.message


def test_texts_can_be_written_and_show_no_password() -> None:
    assert text("half \ud83d") == "half ?"
    assert "hunter2" not in text("http://me:hunter2@host/v1")
    assert "sesame" not in text("http://host/v1?api_key=sesame")
    assert number(float("nan")) is number(True) is number("3") is None
    assert "9,000 characters are left out" in short("x" * 13_000)


def test_folders_that_are_no_runs_are_told_all_at_once(tmp_path: Path) -> None:
    made.training(tmp_path / "some" / "run")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "run.yaml").write_text("section: train\nstatus: [\n")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "run.yaml").write_text("section: cooking\n")
    with pytest.raises(InputError) as refused:
        read(*(tmp_path / name for name in ("missing", "some", "broken", "other")))
    missing, some, broken, other = refused.value.findings
    assert "does not exist" in missing.message
    assert "run" in some.hint
    assert broken.position is not None
    assert broken.position.line >= 2
    assert "cooking" in other.message


def test_runs_have_names_of_their_own_and_stand_once(tmp_path: Path) -> None:
    for place in ("one", "two"):
        made.training(tmp_path / place / "trained")
    (tmp_path / "link").symlink_to(tmp_path / "one" / "trained")
    runs = read(tmp_path / "one" / "trained", tmp_path / "two" / "trained", tmp_path / "link")
    assert [(run.key, run.name) for run in runs] == [("A", "one/trained"), ("B", "two/trained")]


def test_the_folder_of_evaluations_means_the_latest(tmp_path: Path) -> None:
    made.evaluation(tmp_path / "scores" / "model-1")
    (tmp_path / "scores" / "latest").symlink_to("model-1")
    assert read(tmp_path / "scores")[0].name == "model-1"


def test_secrets_stay_out_even_where_run_yaml_has_them(tmp_path: Path) -> None:
    run = made.manifest(tmp_path / "run", "generate", api_key="sesame", model_endpoint_url="http://me:sesame@host/v1")
    (shown,) = read(run)
    assert not [value for value in shown.settings.values() if "sesame" in value]


@pytest.mark.parametrize(
    ("status", "holder", "told"),
    [
        ("running", "process 1", "going on"),
        ("running", "", "killed"),
        ("failed", "", "failed"),
        ("complete", "", ""),
    ],
)
def test_how_a_run_went_is_told(tmp_path: Path, status: str, holder: str, told: str) -> None:
    made.manifest(tmp_path / "run", "train", status)
    (run,) = read_runs([tmp_path / "run"], lambda _: holder)
    assert told in run.remark
    assert bool(told) == bool(run.remark)


# --- side by side -----------------------------------------------------------------------------------------------------


def test_settings_that_differ_are_known(tmp_path: Path) -> None:
    runs = read(made.training(tmp_path / "a"), made.training(tmp_path / "b", learning_rate=0.01))
    found = {item.path: item for item in settings(runs)}
    assert found["learning_rate"].values == ["0.001", "0.01"]
    assert found["learning_rate"].origins == ["--learning-rate"] * 2
    assert [path for path, item in found.items() if item.differs] == ["output_dir", "learning_rate"]


def test_runs_that_were_asked_the_same_share_rows(tmp_path: Path) -> None:
    runs = read(made.evaluation(tmp_path / "a", 0.2), made.evaluation(tmp_path / "b", 0.9, seed=2))
    evaluations = [read_evaluation(run) for run in runs]
    choices, judged = read_choices(evaluations), read_judgements(evaluations)
    assert (len(choices.rows), len(judged.rows)) == (60, 24)
    assert all(all(row[4]) for row in choices.rows)
    change = changes(paired(choices, 0, 1)[""], share=True)
    assert change is not None
    assert change.improved > 30 > change.regressed
    assert change.improved + change.regressed + change.unchanged == 60
    assert {*paired(choices, 0, 1)} == {"", "task_0", "task_1", "task_2"}
    assert len(judged.values[0]) == 23
    assert len(paired(judged, 0, 1)[""]) == 11  # of 12 questions, one could not be judged


def test_what_stands_before_every_question_is_held_once(tmp_path: Path) -> None:
    run = made.evaluation(tmp_path / "a")
    examples = "A solved example. " * 20 + "\n\n"
    rows = [
        {"question": at, "prompt": f"{examples}What is {at}?", "choices": ["x", "y"], "right": "x"} for at in range(9)
    ]
    made.lines(run / "answers_task_0.jsonl", rows)
    table = read_choices([read_evaluation(*read(run))])
    assert table.before == {"task_0": examples}
    assert table.rows[3][1] == "What is 3?"


def test_changes_are_those_of_mcnemar_s_test() -> None:
    change = changes([(0.0, 1.0)] * 9 + [(1.0, 0.0)] + [(1.0, 1.0)] * 5, share=True)
    assert change is not None
    assert (change.improved, change.regressed, change.unchanged) == (9, 1, 5)
    assert change.p == pytest.approx(2 * 11 / 1024)
    assert changes([], share=True) is None


def test_the_interval_of_a_difference_uses_that_questions_are_the_same() -> None:
    pairs = [(1.0, 1.0)] * 50 + [(0.0, 0.0)] * 40 + [(0.0, 1.0)] * 10
    base = Figure("overall", "", 0.5, 0.05, 0.4, 0.6, 100)
    other = Figure("overall", "", 0.6, 0.05, 0.5, 0.7, 100)
    together, apart = difference(base, other, pairs), difference(base, other, [])
    assert (together.verdict, apart.verdict) == ("improved", "unclear")
    assert together.value == apart.value == pytest.approx(0.1)


def test_of_checkpoints_the_best_one_s_answers_are_shown(tmp_path: Path) -> None:
    evaluation = read_evaluation(*read(made.checkpoints(tmp_path / "run")))
    assert [item.best for item in evaluation.checkpoints] == [False, False, True, False]
    assert evaluation.checkpoints[3].broken
    assert evaluation.folder_name == "checkpoints/samples_0000480"
    assert len(read_choices([evaluation]).rows) == 60


def test_nothing_in_scores_breaks_the_reading(tmp_path: Path) -> None:
    run = made.evaluation(tmp_path / "a")
    odd = {"mmlu": {"tasks": [1], "overall": {"acc": "x"}, "groups": None}, "mt_bench": 3, "new": {"score": 1}}
    (run / "scores.json").write_text(json.dumps({"form": "model", "benchmarks": odd, "model": ["a"]}))
    assert read_evaluation(*read(run)).benchmarks["mmlu"].figures == {}
    (run / "scores.json").write_text("{")
    (broken,) = read(run)
    assert read_evaluation(broken).benchmarks == {}
    assert broken.findings
