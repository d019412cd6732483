from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ilab_profiles import InputError
from ilab_profiles.yaml.document import LINE_BREAK
from ilab_profiles.yaml.read import parse, read
from ilab_profiles.yaml.write import dump


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2e-5", 2e-5),
        ("1E3", 1000.0),
        (".5", 0.5),
        ("no", "no"),
        ("on", "on"),
        ("012", 12),
        ("0o17", 15),
        ("0x1F", 31),
        ("-7", -7),
        ("true", True),
        ("True", True),
        ("~", None),
        ("", None),
        ("null", None),
        ('"12"', "12"),
        ("'true'", "true"),
        ("1:30", "1:30"),
        ("0:4", "0:4"),
        ("2026-01-01", "2026-01-01"),
        ("!!str 12", "12"),
        ("!!int 12", 12),
        ("[1, a]", [1, "a"]),
        ("-", [None]),
    ],
)
def test_scalars_follow_yaml_1_2(text: str, value: object) -> None:
    separator = "\n" if text == "-" else " "
    found = parse(f"key:{separator}{text}").data["key"]
    assert found == value
    assert type(found) is type(value)


def test_every_key_and_value_knows_its_place() -> None:
    document = parse("train:\n  lora: {lora_rank: 4}\n  phases:\n    - num_epochs: 2\n", "p.yaml")
    assert str(document.position(("train", "lora", "lora_rank"))) == "p.yaml:2:21"
    assert str(document.position(("train", "lora", "lora_rank"), key=True)) == "p.yaml:2:10"
    assert str(document.position(("train", "phases", 0, "num_epochs"))) == "p.yaml:4:19"
    assert str(document.position(("train", "missing"))) == "p.yaml:1:1"


def test_merge_keys_yield_to_the_keys_beside_them() -> None:
    document = parse("base: &b {a: 1, b: 2}\nmine:\n  a: 9\n  <<: *b\n")
    assert document.data["mine"] == {"a": 9, "b": 2}
    assert document.position(("mine", "a")).line == 3
    assert document.position(("mine", "b")).line == 1


@pytest.mark.parametrize(
    ("text", "rule", "place"),
    [
        ("a: 1\nb: 2\na: 3\n", "duplicate-key", (3, 1)),
        ("a: !!python/object:os.system x\n", "unknown-tag", (1, 4)),
        ("a: [1\nb: 2\n", "yaml-syntax", (2, 2)),
        ("a:\n\tb: 2\n", "yaml-syntax", (2, 1)),
        ("a: &x [*x]\n", "alias-cycle", (1, 4)),
        ("- 1\n", "not-a-mapping", (1, 1)),
        ("a: !!int x\n", "bad-tagged-value", (1, 4)),
        ("? [a]\n: 1\n", "bad-key", (1, 3)),
        ("a: {<<: 1}\n", "bad-merge", (1, 9)),
        ("ok: 1\na: x\x00y\n", "yaml-syntax", (2, 5)),
        ("a: 1\n---\nb: 2\n", "yaml-syntax", (2, 1)),
        ("a: " + "[" * 50_000, "too-large", (1, 103)),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str, rule: str, place: tuple[int, int]) -> None:
    with pytest.raises(InputError) as caught:
        parse(text, "p.yaml")
    finding = caught.value.findings[0]
    assert finding.rule == rule
    assert finding.position is not None
    assert (finding.position.line, finding.position.column) == place


def test_an_alias_bomb_ends_soon() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    with pytest.raises(InputError, match="too-large"):
        parse("\n".join(lines))


def test_all_duplicate_keys_are_reported_at_once() -> None:
    with pytest.raises(InputError) as caught:
        parse("a: 1\na: 2\nb: {c: 1, c: 2}\n")
    assert [finding.position.line for finding in caught.value.findings if finding.position] == [2, 3]


@pytest.mark.parametrize("raw", [b"\xef\xbb\xbfa: 1\n", "a: 1\n".encode("utf-16"), b"a: 1\r\n", b'{"a": 1}'])
def test_usual_encodings_are_read(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "p.yaml"
    path.write_bytes(raw)
    assert read(path).data == {"a": 1}


def test_bytes_that_are_no_text_are_refused_at_their_line(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_bytes(b"a: 1\nb: \xff\n")
    with pytest.raises(InputError, match=r"p\.yaml:2:1: error\[not-text\]"):
        read(path)


def test_a_key_is_masked_in_the_line_that_is_shown() -> None:
    document = parse('generate: {api_key: "se cret", x: 1}\n')
    assert "se cret" not in document.line(1)
    assert document.line(1).endswith(", x: 1}")


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc-_ :#", min_size=1), inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(st.text("abc-_ :#'", min_size=1), values, max_size=4))
def test_what_is_dumped_is_read_back_unchanged(data: dict[str, Any]) -> None:
    assert parse(dump(data)).data == data


@given(st.text())
def test_any_text_is_read_or_refused_with_a_place_inside_it(text: str) -> None:
    try:
        parse(text)
    except InputError as error:
        lines = len(LINE_BREAK.split(text))
        for finding in error.findings:
            assert finding.position is not None
            assert 1 <= finding.position.line <= lines
            json.dumps(finding.to_dict())
