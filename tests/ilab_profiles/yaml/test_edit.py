from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ilab_profiles import InputError
from ilab_profiles.edit import set_in_text
from ilab_profiles.yaml.read import parse
from ilab_profiles.yaml.write import scalar

# --- any text: one value changes, every other line stays --------------------------------------------------------------

Line = tuple[str, tuple[str, ...]]  # a line, and the keys whose value it belongs to

letters = st.text(st.characters(exclude_categories=["C"], exclude_characters="\u2028\u2029"), max_size=8)
scalars = st.none() | st.booleans() | st.integers(-99, 9999) | st.floats(allow_nan=False) | letters
lists = st.lists(scalars, max_size=3)
names = st.sampled_from(["train", "lora", "num_epochs", "a", "b-c", "no", "with space", "#x", "ü"])
trees = st.recursive(scalars | lists, lambda inner: st.dictionaries(names, inner, max_size=4), max_leaves=10)
mappings = st.dictionaries(names, trees, min_size=1, max_size=5)
notes = st.sampled_from(["", "", "  # note", " # a: 1, {b"])


def quoted(draw: st.DrawFn, value: Any, *, flow: bool = False) -> str:
    """A value on one line, in any of the ways to write it."""
    plain = scalar(value)
    if isinstance(value, str) and value.isprintable() and draw(st.booleans()):
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, (dict, list)) and draw(st.booleans()):
        return json.dumps(value, ensure_ascii=False) if "Infinity" not in json.dumps(value) else plain
    return "" if value is None and not flow and draw(st.booleans()) else plain


def rendered(draw: st.DrawFn, data: dict[str, Any], pad: str, path: tuple[str, ...]) -> list[Line]:
    lines: list[Line] = []
    step = " " * draw(st.sampled_from([2, 4]))
    for key, value in data.items():
        here = (*path, key)
        before = draw(st.sampled_from([[], [], [""], [f"{pad}# {key}: 9"], ["", "# b", ""]]))
        lines += [(line, path) for line in before]
        head, note = f"{pad}{scalar(key)}:", draw(notes)
        if isinstance(value, dict) and value and draw(st.booleans()):
            lines += [(head + note, here), *rendered(draw, value, pad + step, here)]
        elif isinstance(value, list) and value and draw(st.booleans()):
            inner = draw(st.sampled_from(["", step]))
            lines.append((head + note, here))
            lines += [(f"{pad}{inner}- {quoted(draw, item, flow=True)}{draw(notes)}", here) for item in value]
        elif value == "text":
            lines += [(f"{head} |-{note}", here), (f"{pad}{step}text", here)]
        else:
            lines.append((f"{head} {quoted(draw, value)}{note}", here))
    return lines


@st.composite
def edits(draw: st.DrawFn) -> tuple[list[Line], dict[str, Any], tuple[str, ...], Any]:
    """The lines of a document, its data, the path of a value that is there or not, and a value."""
    data = draw(mappings)
    if draw(st.booleans()):
        data["text"] = "text"
    lines = rendered(draw, data, "", ())
    path: tuple[str, ...] = ()
    here: Any = data
    while isinstance(here, dict) and (not path or draw(st.booleans())):
        key = draw(st.sampled_from([*here, "new"]))
        path, here = (*path, key), here.get(key)
    return lines, data, path, draw(scalars | lists | mappings)


def with_value(data: dict[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    changed = deepcopy(data)
    here = changed
    for key in path[:-1]:
        here = here[key]
    here[path[-1]] = value
    return changed


def span(lines: list[Line], path: tuple[str, ...]) -> tuple[int, int]:
    """First and last (exclusive) line that may change; none if the key has to be put in between the lines."""
    for size in range(len(path), 0, -1):
        mine = [number for number, (_, owner) in enumerate(lines) if owner[:size] == path[:size]]
        if mine and (size == len(path) or len(mine) == 1):
            return mine[0], mine[-1] + 1
        if mine:
            break
    return 0, 0


@given(edits(), st.sampled_from(["\n", "\r\n"]), st.booleans(), st.sampled_from(["", "\ufeff"]))
def test_one_value_changes_and_every_other_line_stays(edit: Any, newline: str, ends: bool, mark: str) -> None:
    lines, data, path, value = edit
    text = newline.join(line for line, _ in lines) + newline * ends
    assert repr(parse(text).data) == repr(data)
    new = set_in_text(mark + text, path, value)
    assert json.dumps(parse(new).data, sort_keys=True) == json.dumps(with_value(data, path, value), sort_keys=True)
    assert new.startswith(mark)
    if newline in text:
        assert ("\n" in new.replace("\r\n", "")) is (newline == "\n")
    first, last = span(lines, path)
    old_lines, new_lines = text.splitlines(), new.removeprefix(mark).splitlines()
    if first < last:
        assert new_lines[:first] == old_lines[:first]
        assert new_lines[len(new_lines) - len(old_lines) + last :] == old_lines[last:]
    else:
        left = iter(new_lines)
        assert all(line in left for line in old_lines)


@given(mappings, st.sampled_from([None, 2]), st.data())
def test_json_stays_json(data: dict[str, Any], indent: int | None, more: st.DataObject) -> None:
    path = (more.draw(st.sampled_from([*data, "new"])),)
    value = more.draw(st.booleans() | letters | lists | mappings)
    text = json.dumps(data, indent=indent, ensure_ascii=False)
    if "Infinity" not in json.dumps([data, value]):
        assert repr(json.loads(set_in_text(text, path, value))) == repr(with_value(data, path, value))


@pytest.mark.parametrize(
    ("text", "path", "value", "new"),
    [
        ("a:   1   # one\n", "a", 2, "a:   2   # one\n"),
        ("a: # one\nb: 2\n", "a", 2, "a: 2 # one\nb: 2\n"),
        ("a: 'x\n  y' # one\n", "a", 2, "a: 2 # one\n"),
        ("a: |+ # one\n  x\n\n\nb: 2\n", "a", 2, "a: 2 # one\nb: 2\n"),
        ("a: | # one\n  x\n\n# two\nb: 2\n", "a", "k", "a: k # one\n\n# two\nb: 2\n"),
        ("a:\n  x: |+\n    k\n\nb: 2\n", "a.y", 2, 'a:\n  x: |+\n    k\n\n  "y": 2\nb: 2\n'),
        ("a: # one\n  - x\n  - z # two\n# three\n", "a", ["k"], "a: # one\n  - k # two\n# three\n"),
        ("a: # one\n  - x\n  - z # two\n# three\n", "a", 2, "a: 2 # one # two\n# three\n"),
        ("a:\n- x\n", "a", {"b": {"c": 1}}, "a:\n  b:\n    c: 1\n"),
        ("profile: x # one\n", "profile", {"b": 1}, "profile: # one\n  b: 1\n"),
        ("a:\n    b: 1 # one\n# two\n", "c.d.e", 1, "a:\n    b: 1 # one\nc:\n    d:\n        e: 1\n# two\n"),
        ("a:\n    # b: 1\nc: 2", "a.b", 1, "a:\n  b: 1\n    # b: 1\nc: 2"),
        ("a: {}\n", "a.b", [1], "a: {b: [1]}\n"),
        ("a: { b: 1 } # one\n", "a.c", 2, "a: { b: 1, c: 2 } # one\n"),
        ("a: {\n  b: 1, # one\n}\n", "a.c", 2, "a: {\n  b: 1, # one\n  c: 2,\n}\n"),
        ("a: {\n  b: 1 # one\n}\n", "a.c", 2, "a: {\n  b: 1, # one\n  c: 2\n}\n"),
        ("# only\n", "a.b", 1, "# only\na:\n  b: 1\n"),
        ("---\na: 1\n...\n", "b", 2, "---\na: 1\nb: 2\n...\n"),
        ("x: &x {b: 1}\na:\n  <<: *x\n", "a.b", 2, "x: &x {b: 1}\na:\n  <<: *x\n  b: 2\n"),
        ("a: 2e-5 # one\n", "a", 2e-05, "a: 2e-5 # one\n"),
        ("a: 1\n", "a", True, "a: true\n"),
        (
            "train: {phases: [{num-epochs: 1}]}\n",
            "train.phases.0.num_epochs",
            2,
            "train: {phases: [{num-epochs: 2}]}\n",
        ),
        (
            "train:\n  phases:\n  - seed: 1 # x\n",
            "train.phases.0.b",
            2,
            "train:\n  phases:\n  - seed: 1 # x\n    b: 2\n",
        ),
        ("profile: {train: {model-dir: x}}\n", "profile.train.model_path", "z", "profile: {train: {model-dir: z}}\n"),
    ],
)
def test_comments_stay_and_layout_is_followed(text: str, path: str, value: object, new: str) -> None:
    keys = [int(key) if key.isdigit() else key for key in path.split(".")]
    assert set_in_text(text, keys, value) == new


@pytest.mark.parametrize(
    ("text", "path", "rule"),
    [
        ("a: &x 1\nb: *x\n", "a", "shared-value"),
        ("a: &x 1\nb: *x\n", "b", "shared-value"),
        ("a: &x {c: 1}\nb: *x\n", "a.c", "shared-value"),
        ("x: &x {c: {d: 1, e: 2}}\nb:\n  <<: *x\n", "b.c.d", "cannot-edit"),
        ("a: 1\n", "a.b", "not-a-section"),
        ("a: [1]\n", "a.1", "no-such-item"),
        ("a: [1\n", "a", "yaml-syntax"),
    ],
)
def test_what_would_change_elsewhere_is_refused(text: str, path: str, rule: str) -> None:
    with pytest.raises(InputError) as caught:
        set_in_text(text, [int(key) if key.isdigit() else key for key in path.split(".")], 5, "p.yaml")
    assert caught.value.findings[0].rule == rule
    assert str(caught.value.findings[0].position).startswith("p.yaml:")
