"""Data files are found where they were moved to, and every question is checked before a model is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ilab_cli.backends.evaluate.mmlu.questions import Record, Templates, locate, read_records
from ilab_profiles import InputError, Position

SETTINGS: dict[str, Any] = {"doc_to_text": "{{question}}", "doc_to_choice": ["A", "B"], "doc_to_target": "answer"}


def ask(data: dict[str, Any], **settings: Any) -> Any:
    pytest.importorskip("jinja2", reason="needs the extra `evaluate`")
    return Templates(SETTINGS | settings).question(data)


@pytest.mark.parametrize(
    "name", ["q.jsonl", "tests/testdata/q.jsonl", "/home/other/q.jsonl", "deep/q.jsonl", "q*.jsonl"]
)
def test_a_file_is_found_beside_its_task(tmp_path: Path, name: str) -> None:
    beside = tmp_path / "sub"
    (beside / "deep").mkdir(parents=True)
    for place in (beside, beside / "deep"):
        (place / "q.jsonl").touch()
    expected = beside / "deep" if name.startswith("deep") else beside
    assert locate(name, beside, tmp_path) == [expected / "q.jsonl"]


def test_a_file_is_found_from_the_root_and_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "root/data").mkdir(parents=True)
    (tmp_path / "root/data/q.jsonl").touch()
    (tmp_path / "here.jsonl").touch()
    monkeypatch.chdir(tmp_path)
    assert locate("data/q.jsonl", tmp_path / "root/sub", tmp_path / "root") == [tmp_path / "root/data/q.jsonl"]
    assert locate("here.jsonl", tmp_path / "root/sub", tmp_path / "root") == [Path("here.jsonl")]
    assert locate("gone.jsonl", tmp_path / "root/sub", tmp_path / "root") == []


def test_records_of_lines_and_of_a_list(tmp_path: Path) -> None:
    lines, whole = tmp_path / "a.jsonl", tmp_path / "b.json"
    lines.write_text('{"a": 1}\n\n{"a": "line\u2028separator"}\n', encoding="utf-8")
    whole.write_text('[{"a": 1},\n {"a": 2}]')
    assert [(r.data, r.position.line) for r in read_records(lines)] == [
        ({"a": 1}, 1),
        ({"a": "line\u2028separator"}, 3),
    ]
    assert [r.data for r in read_records(whole)] == [{"a": 1}, {"a": 2}]


def test_every_bad_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl"
    path.write_text('{"a": 1}\n{"a": \n[1]\n"text"\n')
    with pytest.raises(InputError) as caught:
        read_records(path)
    assert [f.position.line for f in caught.value.findings if f.position] == [2, 3, 4]
    path.write_text("no\n" * 1000)
    with pytest.raises(InputError, match="and 980 more findings") as caught:
        read_records(path)
    assert len(caught.value.findings) == 21


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"[[1], 2]", b"[" * 100_000])
def test_what_is_no_data_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "q.jsonl"
    path.write_bytes(content)
    with pytest.raises(InputError):
        read_records(path)


@pytest.mark.parametrize(
    ("target", "given"),
    [
        ("answer", 1),
        ("answer", "B"),
        ("{{answer}}", 1),
        ("{{answer}}", "1"),
        (1, None),
        ("{{'AB'.index(answer)}}", "B"),
    ],
)
def test_forms_of_the_right_answer(target: Any, given: Any) -> None:
    assert ask({"question": "?", "answer": given}, doc_to_target=target).answer == 1


@pytest.mark.parametrize("given", [-1, 2, "C", "1", None, True, 1.0, [0, 1]])
def test_answers_that_are_refused(given: Any) -> None:
    with pytest.raises(ValueError, match="neither a choice nor the number of one, 0 to 1"):
        ask({"question": "?", "answer": given})


@pytest.mark.parametrize(
    "given", [["red", "blue"], "options", "{{options}}", {"a": "red", "b": "blue"}, "['red', '{{options[1]}}']"]
)
def test_forms_of_the_choices(given: Any) -> None:
    question = ask({"question": "?", "answer": 0, "options": ["red", "blue"]}, doc_to_choice=given)
    assert question.choices == ["red", "blue"]


@pytest.mark.parametrize("given", [["one"], "options", "{{question}}", [1, 2], ["", "a"]])
def test_choices_that_are_refused(given: Any) -> None:
    with pytest.raises(ValueError, match="choice"):
        ask({"question": "?", "answer": 0, "options": []}, doc_to_choice=given)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{gone}}", "'gone' is undefined"),
        ("{{question", "doc_to_text"),
        ("{{question.__class__.__mro__}}", "unsafe"),
        ("{{choices[9]}}", "doc_to_text"),
        ("{{1/0}}", "division"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "recursion"),
    ],
)
def test_templates_that_do_not_fit(template: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ask({"question": "?", "answer": 0, "choices": []}, doc_to_text=template)


def test_what_looks_like_a_template_in_the_data_is_text() -> None:
    data = {"question": "{{7*7}}", "answer": 0}
    assert ask(data).text == "{{7*7}}"
    assert ask(data, doc_to_text="question", description="About {{question}}").description == "About {{7*7}}"


def test_every_question_that_does_not_fit_is_named() -> None:
    pytest.importorskip("jinja2", reason="needs the extra `evaluate`")
    records = [
        Record(data, Position("q.jsonl", line)) for line, data in enumerate([{}, {"question": "?", "answer": 5}], 1)
    ]
    with pytest.raises(InputError) as caught:
        Templates(SETTINGS).questions(records, "tides")
    assert [str(finding.position) for finding in caught.value.findings] == ["q.jsonl:1", "q.jsonl:2"]
