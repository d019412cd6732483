"""The keys of a task file mean what they mean to lm-eval, and what cannot be honoured is refused at its line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ilab_cli.backends.evaluate.mmlu.selection import prepare
from ilab_profiles import InputError
from ilab_profiles.models.evaluate import Mmlu
from tests.ilab_cli.backends.evaluate.conftest import MakeTask


def settings(folder: Path, tasks: str = "*", few_shots: int = 0) -> Mmlu:
    return Mmlu(data_dir=str(folder), tasks=(tasks,), few_shots=few_shots)


@pytest.mark.parametrize("files", ["tides.jsonl", "[tides.jsonl, tides.jsonl]", "{test: [tides.jsonl]}"])
def test_forms_of_data_files(make_task: MakeTask, files: str) -> None:
    path = make_task()
    path.write_text(path.read_text().replace("\n  data_files:\n    test: tides.jsonl", f"\n  data_files: {files}"))
    (task,) = prepare(settings(path.parent)).tasks
    assert len(task.questions) == (8 if files.startswith("[") else 4)
    assert task.questions[1].text == "Tide 1?\nAnswer:"
    assert task.questions[1].answer == 1


def test_examples_come_from_their_split_or_else_from_the_other_questions(make_task: MakeTask) -> None:
    path = make_task(more="fewshot_split: dev\n")
    dev = path.with_name("dev.jsonl")
    dev.write_text(json.dumps({"question": "Solved?", "answer": 2}) + "\n")
    path.write_text(path.read_text().replace("test: tides.jsonl", "test: tides.jsonl\n    dev: dev.jsonl"))
    (task,) = prepare(settings(path.parent, few_shots=1)).tasks
    assert task.examples is not None
    assert [example.text for example in task.examples] == ["Solved?\nAnswer:"]
    assert task.config()["fewshot_split"] == "examples"
    (other,) = prepare(settings(make_task("moons", folder="other").parent, few_shots=3)).tasks
    assert other.examples is None
    assert other.config()["fewshot_split"] == "test"


def test_more_examples_than_there_are_are_refused(make_task: MakeTask) -> None:
    path = make_task()
    with pytest.raises(InputError, match="the task tides has 3") as caught:
        prepare(settings(path.parent, few_shots=4))
    assert caught.value.findings[0].hint == "set evaluate.mmlu.few_shots to 3 or less"
    same = make_task("same", rows=[{"question": "?", "answer": 0}] * 5, folder="same")
    with pytest.raises(InputError, match="the task same has 0"):
        prepare(settings(same.parent, few_shots=1))


def test_a_task_that_allows_no_examples_gets_none(make_task: MakeTask) -> None:
    path = make_task(more="num_fewshot: 0\n")
    assert prepare(settings(path.parent, few_shots=3)).tasks[0].few_shots == 0


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        ("output_type: multiple_choice", "output_type: generate_until", "not-multiple-choice"),
        ("doc_to_target: answer", "num_fewshot: 1", "task-key-missing"),
        ("dataset_path: json", "dataset_path: cais/mmlu", "task-needs-hub"),
        ("test: tides.jsonl", "test: gone.jsonl", "no-such-file"),
        ("test_split: test", "test_split: train", "unknown-split"),
        ("test_split: test", "test_split: test\nclass: Tides", "task-runs-code"),
        ("test_split: test", "test_split: test\nmetric_list: [{metric: bleu}]", "unknown-metric"),
        ("test_split: test", "test_split: test\nfewshot_config: {sampler: odd}", "bad-task-key"),
        ("test_split: test", "test_split: test\ntarget_delimiter: 3", "bad-task-key"),
        ("{{question}}", "{{question", "bad-template"),
        ("doc_to_target: answer", "doc_to_target: '{% if %}'", "bad-template"),
        ("doc_to_text:", "doc_to_text: [1]\nold:", "bad-task-key"),
        ("dataset_kwargs:\n  data_files:\n    test:", "dataset_kwargs:", "task-needs-hub"),
    ],
)
def test_what_cannot_be_asked_is_refused(make_task: MakeTask, old: str, new: str, rule: str) -> None:
    path = make_task()
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(InputError) as caught:
        prepare(settings(path.parent))
    assert [finding.rule for finding in caught.value.findings] == [rule]
    assert caught.value.findings[0].position
    assert caught.value.findings[0].position.source == str(path)


def test_a_delimiter_without_a_value_is_none(make_task: MakeTask) -> None:
    (task,) = prepare(settings(make_task(more="target_delimiter:\n").parent)).tasks
    assert task.delimiters == {}


def test_what_is_wrong_with_several_tasks_is_said_at_once(make_task: MakeTask) -> None:
    make_task("a", rows=[{"question": "?", "answer": 9}])
    make_task("b", rows=[{"answer": 1}])
    folder = make_task("c", rows=[]).parent
    with pytest.raises(InputError) as caught:
        prepare(settings(folder))
    assert [finding.rule for finding in caught.value.findings] == ["bad-question", "bad-question", "no-questions"]


def test_folders_that_hold_no_task(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "gone"):
        with pytest.raises(InputError) as caught:
            prepare(settings(folder))
        assert caught.value.findings[0].path == "evaluate.mmlu.data_dir"


def test_a_wanted_group_keeps_its_name(make_task: MakeTask) -> None:
    make_task("a", more="group: sea\n")
    folder = make_task("b", more="group: sea\nmetric_list:\n  - metric: acc_norm\n").parent
    selection = prepare(settings(folder, "sea"))
    assert selection.groups == {"sea": (["a", "b"], True)}
    assert [task.metrics for task in selection.tasks] == [("acc",), ("acc", "acc_norm")]


def test_the_branch_of_the_older_program() -> None:
    folder = Path(__file__).parents[6] / "shared" / "mmlu_branch"
    if not folder.is_dir():
        pytest.skip("the folder is not here")
    before = sorted(folder.iterdir())
    (task,) = prepare(settings(folder, "mmlu-pr", few_shots=5)).tasks
    assert (task.name, len(task.questions), task.questions[0].choices) == ("tonsils", 27, ["A", "B", "C", "D"])
    assert task.questions[0].text.endswith("\nAnswer:")
    assert sorted(folder.iterdir()) == before
