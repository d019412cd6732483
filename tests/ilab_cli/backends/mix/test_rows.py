"""Rows are the same however a file is cut, and what is wrong with them is told at their lines."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import example, given
from hypothesis import strategies as st

from ilab_cli.backends.jsonl import Chunk, chunks
from ilab_cli.backends.mix.rows import check, is_plain, rows_of, with_system_prompt
from ilab_cli.backends.train.data.conversations import read
from ilab_cli.backends.train.data.formats import parse
from tests.ilab_cli.backends.mix.recipes import row

LINES = st.lists(st.sampled_from([row(1), row(22, "ä€😀"), b"", b"  \t", b"{}", row(3) + b"\r", b" " + row(4)]))
MESSAGE = st.fixed_dictionaries(
    {}, optional={"role": st.sampled_from(["user", "assistant", 1, None]), "content": st.sampled_from(["a", 2, None])}
)
VALUES = st.one_of(
    st.recursive(st.none() | st.integers() | st.text(max_size=3), lambda inner: st.lists(inner, max_size=2)),
    st.dictionaries(st.sampled_from(["messages", "id"]), st.lists(MESSAGE | st.text(max_size=2), max_size=3)),
    st.fixed_dictionaries({"messages": st.dictionaries(st.text(max_size=3), MESSAGE)}),
)


@given(LINES, st.integers(1, 200), st.booleans(), st.booleans())
@example([], 1, True, False)
def test_the_rows_of_all_chunks_are_those_of_the_file(lines: list[bytes], size: int, end: bool, mark: bool) -> None:
    text = b"\n".join(lines) + b"\n" * end
    with TemporaryDirectory() as folder:
        file = Path(folder, "data.jsonl")
        file.write_bytes(b"\xef\xbb\xbf" * mark + text)
        parts = list(chunks(file, file.stat().st_size, size))
        found = [line for part in parts for line in rows_of(part)]
        checked = [check(part) for part in parts]
    assert found == [line.strip() for line in lines if line.strip()]
    assert sum(one.rows for one in checked) == len(found)
    assert sum(one.bad for one in checked) == found.count(b"{}")
    assert sum(one.lines for one in checked) <= len(text.split(b"\n"))


@given(VALUES, st.sampled_from([b"", b"x", b" {}", b","]))
@example({"messages": [{"role": "assistant", "content": "half of a pair \ud83d"}]}, b"")
@example({"messages": [{"role": "assistant", "content": "a whole pair \U0001f600"}]}, b"")
def test_a_row_passes_at_first_sight_only_if_training_reads_it_too(value: object, after: bytes) -> None:
    line = json.dumps(value).encode() + after
    with TemporaryDirectory() as folder:
        file = Path(folder, "data.jsonl")
        file.write_bytes(line + b"\n")
        conversations, _ = read([file])
        assert check(Chunk(file, 0, file.stat().st_size)).bad == 1 - len(conversations)
    assert not is_plain(line) or conversations


def test_bad_lines_are_told_with_what_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "data.jsonl"
    bad = [b"{", b"\xff", b"[" * 100_000, b"[]", b'{"messages": []}', b'{"messages": [{"role": "user"}]}']
    file.write_bytes(b"\n".join([row(0), b"", *bad, row(1)]))
    checked = check(Chunk(file, 0, file.stat().st_size))
    assert (checked.lines, checked.rows, checked.bad) == (9, 8, 6)
    assert {finding.position.line for finding in checked.findings if finding.position} == set(range(3, 9))
    assert all('{"messages": [{"role": ' in finding.hint for finding in checked.findings)


def test_a_line_separator_inside_text_ends_no_row(tmp_path: Path) -> None:
    file = tmp_path / "data.jsonl"
    text = row(0, "a\u2028b\u0085c")
    file.write_bytes(text + b"\n")
    assert rows_of(Chunk(file, 0, file.stat().st_size)) == [text]


def test_one_system_message_at_the_beginning() -> None:
    messages = [{"role": "user", "content": "\ud83d ü"}, {"role": "system", "content": "old"}]
    for text in ("ü", "\ud83d"):
        line = json.dumps({"id": 7, "messages": [*messages, {"role": "assistant", "content": text}]}).encode()
        value = json.loads(with_system_prompt(line, "new"))
        assert [message["role"] for message in value["messages"]] == ["system", "user", "assistant"]
        assert value["messages"][0]["content"] == "new"
        assert value["messages"][2]["content"] == text
        assert value["id"] == 7


def test_rows_of_other_shapes_are_mixed_and_get_a_system_message_as_well(tmp_path: Path) -> None:
    rows: list[object] = [
        {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}], "system": "old"},
        {"instruction": "a", "output": "b"},
    ]
    file = tmp_path / "data.jsonl"
    file.write_text("".join(json.dumps(value) + "\n" for value in rows))
    assert check(Chunk(file, 0, file.stat().st_size)).bad == 0
    roles = ["system", "user", "assistant"]
    messages = [{"role": role, "content": text} for role, text in zip(roles, ["new", "a", "b"], strict=True)]
    assert [parse(json.loads(with_system_prompt(json.dumps(value).encode(), "new"))).messages for value in rows] == [
        messages
    ] * 2
