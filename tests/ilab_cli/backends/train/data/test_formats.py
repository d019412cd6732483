"""A line may have one of three shapes; whatever shape it has, the messages are the same, and so are its mistakes."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ilab_cli.backends.train.data.formats import parse, problems_of

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
FROM = {"system": "system", "user": "human", "assistant": "gpt", "tool": "observation"}
MESSAGE = st.fixed_dictionaries({"role": st.sampled_from(sorted(FROM)), "content": TEXT})
ANSWER = st.fixed_dictionaries({"role": st.just("assistant"), "content": TEXT})
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
KEYS = (
    "messages conversations instruction input output system history tools role content from value tool_calls function "
    "name arguments type text reasoning_content"
).split()
ALMOST = st.recursive(
    st.none()
    | st.integers()
    | st.sampled_from(["user", "assistant", "gpt", "human", "text", "{}", "[]", "\ud800", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=20,
)
"""Values made of the words that lines are made of, most of them wrong."""
CALL = {"type": "function", "function": {"name": "add", "arguments": {"a": 1, "b": 2}}}
TOOL = {"type": "function", "function": {"name": "add", "description": "Add.", "parameters": {"type": "object"}}}


@given(st.lists(MESSAGE, max_size=5), ANSWER)
def test_sharegpt_is_read_as_the_messages_that_it_was_made_of(before: list[dict[str, str]], last: Any) -> None:
    messages = [*before, last]
    turns = [{"from": FROM[message["role"]], "value": message["content"]} for message in messages]
    parsed = parse({"conversations": turns})
    assert (parsed.problems, parsed.messages, parsed.tools) == ([], messages, None)
    assert parse({"messages": messages}).messages == messages
    assert parse({"conversations": messages}).messages == messages, "some call it so and write messages"


@given(TEXT, TEXT, TEXT, st.none() | TEXT, st.lists(st.tuples(TEXT, TEXT), max_size=2))
def test_alpaca_is_read_as_turns(asked: str, more: str, answer: str, system: str | None, history: Any) -> None:
    line = {"instruction": asked, "input": more, "output": answer, "system": system}
    parsed = parse(line | {"history": [list(pair) for pair in history]})
    assert parsed.problems == []
    roles = [message["role"] for message in parsed.messages]
    assert roles == ["system"] * bool(system) + ["user", "assistant"] * (len(history) + 1)
    said = [message["content"] for message in parsed.messages if message["role"] != "system"]
    question = f"{asked}\n\n{more}" if asked and more else asked or more
    assert said == [*(text for pair in history for text in pair), question, answer]


@given(JSON | ALMOST)
def test_any_value_is_a_conversation_or_has_problems(value: Any) -> None:
    before = copy.deepcopy(value)
    parsed = parse(value)
    assert json.dumps(value) == json.dumps(before), "what was read is not changed"
    assert list(problems_of(value)) == parsed.problems
    if not parsed.problems:
        assert all(isinstance(message["role"], str) for message in parsed.messages)
        assert "assistant" in [message["role"] for message in parsed.messages]
        assert parsed.tools is None or all(isinstance(tool, dict) for tool in parsed.tools)
        json.dumps([parsed.messages, parsed.tools], ensure_ascii=False).encode()
        again = parse({"messages": parsed.messages, "tools": parsed.tools})
        assert (again.messages, again.tools, again.problems) == (parsed.messages, parsed.tools, [])


def test_a_call_of_a_tool_has_one_form_in_every_shape() -> None:
    function = CALL["function"]
    as_text = {"name": "add", "arguments": json.dumps({"a": 1, "b": 2})}
    for calls in ([CALL], [function], [as_text], [{"type": "function", "function": as_text}]):
        parsed = parse({"messages": [{"role": "assistant", "tool_calls": calls}], "tools": [TOOL]})
        assert (parsed.problems, parsed.tools) == ([], [TOOL])
        assert parsed.messages == [{"role": "assistant", "tool_calls": [CALL]}]
    turns = [
        {"from": "human", "value": "1 + 2?"},
        {"from": "function_call", "value": json.dumps(as_text)},
        {"from": "observation", "value": "3"},
        {"from": "gpt", "value": "3."},
    ]
    parsed = parse({"conversations": turns, "tools": json.dumps([TOOL]), "system": "Add."})
    assert (parsed.problems, parsed.tools) == ([], [TOOL])
    assert parsed.messages == [
        {"role": "system", "content": "Add."},
        {"role": "user", "content": "1 + 2?"},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "content": "3"},
        {"role": "assistant", "content": "3."},
    ]
    identified = parse({"messages": [{"role": "assistant", "content": None, "tool_calls": [{"id": "1", **CALL}]}]})
    assert identified.messages[0]["tool_calls"] == [{"id": "1", **CALL}]


def test_parts_reasoning_and_keys_without_a_value() -> None:
    parts = [{"type": "text", "text": "One"}, {"type": "text", "text": " two"}]
    message = {"role": "assistant", "content": parts, "reasoning_content": "Count.", "tool_calls": None, "name": None}
    parsed = parse({"messages": [message], "tools": None, "conversations": None})
    assert parsed.problems == []
    assert parsed.messages == [{"role": "assistant", "content": parts, "reasoning_content": "Count."}]
    parsed = parse({"messages": None, "conversations": [{"from": "GPT", "value": "x", "weight": 1}], "tools": "[]"})
    assert (parsed.problems, parsed.tools) == ([], None)


def answer(**more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "assistant", "content": "x", **more}]}


@pytest.mark.parametrize(
    ("value", "problems"),
    [
        ({"conversations": []}, ["`conversations` is empty"]),
        ({"conversations": "x"}, ["`conversations` is not a list of messages"]),
        ({"conversations": [3]}, ["conversations[0] is not an object with from and value",
                                  "no assistant turn: nothing to learn"]),
        ({"conversations": [{"from": "gpt"}]}, ["conversations[0].value is missing"]),
        ({"conversations": [{"from": "gpt", "value": 3}]}, ["conversations[0].value is not text"]),
        ({"conversations": [{"from": "gpt", "value": "\ud83d"}]},
         ["conversations[0].value holds half of a surrogate pair, \\ud800 to \\udfff"]),
        ({"conversations": [{"value": "x"}]}, ["conversations[0].from is missing",
                                               "no assistant turn: nothing to learn"]),
        ({"conversations": [{"from": "tool_call", "value": "add 1"}]},
         ['conversations[0].value[0] is not a call like {"name": "…", "arguments": {…}}']),
        ({"conversations": [{"from": "system", "value": "a"}, {"from": "gpt", "value": "x"}], "system": "b"},
         ["`system` is not what the system turn in `conversations` says: leave out one of them"]),
        ({"conversations": [{"from": "gpt", "value": "x"}], "system": 3}, ["`system` is not text"]),
        ({"instruction": "x"}, ["`output` is missing"]),
        ({"instruction": 1, "input": 2, "output": 3, "system": 4, "history": 5},
         ["`system` is not text", "`history` is not a list of [instruction, output]", "`instruction` is not text",
          "`input` is not text", "`output` is not text"]),
        ({"instruction": "x", "output": "y", "history": [["a", None]]}, ["`history[0][1]` is not text"]),
        (answer(content=[]), ["messages[0].content is not text"]),
        (answer(content=[{"type": "image_url"}]),
         ['messages[0].content[0] is of type "image_url": only text can be learned from']),
        (answer(content=["x", {"type": "text"}]),
         ['messages[0].content[0] is not a part like {"type": "text", "text": "…"}',
          "messages[0].content[1].text is missing"]),
        (answer(reasoning_content=3), ["messages[0].reasoning_content is not text"]),
        (answer(tool_calls=3), ["messages[0].tool_calls is not a list of calls"]),
        (answer(tool_calls=[{"function": {}}]),
         ['messages[0].tool_calls[0] is not a call like {"name": "…", "arguments": {…}}']),
        (answer(tool_calls=[{"name": "add", "arguments": "1, 2"}]),
         ["messages[0].tool_calls[0] has arguments that are no JSON object"]),
        (answer(tool_calls=[{"name": "add", "arguments": '{"a": "\\ud800"}'}]),
         ["messages[0].tool_calls holds half of a surrogate pair, \\ud800 to \\udfff"]),
        (answer(role="user", tool_calls=[CALL]),
         ["messages[0].tool_calls stand in a turn that is not the assistant's", "no assistant turn: nothing to learn"]),
        (answer(name=["\udfff"]), ["messages[0].name holds half of a surrogate pair, \\ud800 to \\udfff"]),
        ({**answer(), "tools": "x"}, ["`tools` is not a list of objects, each the JSON Schema of a function"]),
        ({**answer(), "tools": [{"name": "\ud800"}]}, ["`tools` holds half of a surrogate pair, \\ud800 to \\udfff"]),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_by_its_name_in_the_file(value: Any, problems: list[str]) -> None:
    assert parse(value).problems == problems


def test_an_unknown_speaker_is_told_with_those_that_are_known() -> None:
    (problem, _) = parse({"conversations": [{"from": "narrator", "value": "x"}]}).problems
    assert problem.startswith('conversations[0].from is "narrator", none of human, ')


def test_values_nested_deeply_are_no_harder_than_others() -> None:
    deep: Any = "x"
    for _ in range(100_000):
        deep = [deep]
    assert parse({**answer(name=deep), "tools": [{"deep": deep}]}).problems == []
