"""Task files are found, merged and named as lm-eval does it, in its old form and its new one."""

from __future__ import annotations

from pathlib import Path

import pytest

from ilab_cli.backends.evaluate.mmlu.tasks import read_folder
from ilab_profiles import InputError


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".yaml").write_text(text)
    return folder


def test_the_group_of_a_task_is_a_tag(tmp_path: Path) -> None:
    write(tmp_path, old="task: tonsils\ngroup: mmlu_pr\n", new="task: adenoids\ntag: [mmlu_pr, glands]\n")
    folder = read_folder(tmp_path)
    assert folder.find(["mmlu_pr"], "") == {"mmlu_pr": ["adenoids", "tonsils"]}
    assert folder.find(["glands"], "") == {"glands": ["adenoids"]}


def test_groups_hold_tasks_tags_and_groups(tmp_path: Path) -> None:
    write(
        tmp_path,
        a="task: a\ntag: first\n",
        sub__b="task: b\n",
        sub__c="task: c\n",
        all="group: all\ntask:\n  - first\n  - group: rest\n    task: [b, c]\naggregate_metric_list:\n"
        "  - metric: acc\n    weight_by_size: false\n",
    )
    folder = read_folder(tmp_path)
    assert folder.find(["all", "rest"], "") == {"all": ["a", "b", "c"], "rest": ["b", "c"]}
    assert not folder.groups["all"].by_size
    assert folder.groups["rest"].by_size


def test_a_group_that_holds_itself_ends(tmp_path: Path) -> None:
    folder = read_folder(write(tmp_path, a="task: a\n", g="group: g\ntask: [a, h]\n", h="group: h\ntask: [g]\n"))
    assert folder.find(["g"], "") == {"g": ["a"]}


@pytest.mark.parametrize("wanted", ["mmlu-pr", "mmlu.pr", "mmlu_*", "mmluu_pr"])
def test_spellings_of_a_name(tmp_path: Path, wanted: str) -> None:
    folder = read_folder(write(tmp_path, a="task: a\ngroup: mmlu_pr\n"))
    if wanted == "mmluu_pr":
        with pytest.raises(InputError, match="did you mean mmlu_pr"):
            folder.find([wanted], "evaluate.mmlu.tasks")
    else:
        assert folder.find([wanted], "") == {"mmlu_pr": ["a"]}


def test_a_file_goes_over_what_it_includes(tmp_path: Path) -> None:
    (tmp_path / "_base_yaml").write_text("task: base\noutput_type: multiple_choice\ndoc_to_text: base\n")
    write(tmp_path, a="include: _base_yaml\ntask: a\ndoc_to_text: own\n")
    task = read_folder(tmp_path).tasks["a"]
    assert task.settings == {"task": "a", "output_type": "multiple_choice", "doc_to_text": "own"}
    assert str(task.places["doc_to_text"]).endswith("a.yaml:3:14")
    assert "_base_yaml:2" in str(task.places["output_type"])


def test_a_template_and_foreign_yaml_are_no_tasks(tmp_path: Path) -> None:
    write(tmp_path, _base="task: mmlu_pr\n", a="include: _base.yaml\ntask: a\ntag: mmlu_pr\n", recipe="datasets: []\n")
    write(tmp_path, **{".hidden__b": "task: b\n"})
    folder = read_folder(tmp_path)
    assert list(folder.tasks) == ["a"]
    assert folder.find(["mmlu_pr"], "") == {"mmlu_pr": ["a"]}


def test_everything_that_is_wrong_is_said_at_once_with_its_place(tmp_path: Path) -> None:
    write(
        tmp_path,
        broken="task: [a\n",
        code="task: code\nprocess_docs: !function utils.process\n",
        cycle="include: cycle.yaml\n",
        lost="task: lost\ninclude: nowhere.yaml\n",
        nameless="task: [a, b]\n",
        one="task: same\n",
        two="task: same\n",
        odd="group: odd\ntask:\n  - 3\n",
        number="task: 7\n",
    )
    with pytest.raises(InputError) as caught:
        read_folder(tmp_path)
    found = {(f.rule, Path(f.position.source).stem, f.position.line) for f in caught.value.findings if f.position}
    assert found == {
        ("yaml-syntax", "broken", 1),
        ("task-runs-code", "code", 2),
        ("include-cycle", "cycle", 1),
        ("no-such-file", "lost", 2),
        ("group-without-name", "nameless", 1),
        ("task-twice", "two", 1),
        ("bad-group-member", "odd", 3),
        ("bad-task-name", "number", 1),
    }


def test_unknown_and_empty_names(tmp_path: Path) -> None:
    part = "group: part\ntask: [abstract_algebra, part, {group: g}]\n"
    folder = read_folder(write(tmp_path, a="task: abstract_algebra\n", g="group: g\ntask: [gone]\n", part=part))
    with pytest.raises(InputError) as caught:
        folder.find(["abstract_algebr", "zzz", "g", "part"], "evaluate.mmlu.tasks")
    first, second, third, fourth = caught.value.findings
    assert first.hint == "did you mean abstract_algebra?"
    assert second.hint == "known here: abstract_algebra, g, part"
    assert third.rule == "empty-group"
    assert (fourth.rule, "names gone, which" in fourth.message) == ("incomplete-group", True)
    assert {finding.path for finding in caught.value.findings} == {"evaluate.mmlu.tasks"}
