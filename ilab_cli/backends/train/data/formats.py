"""What a line of training data may look like, turned into the messages that a chat template takes.

Three shapes are in use: messages, ``{"messages": [{"role": …, "content": …}, …]}``, perhaps with ``tools``; ShareGPT,
``{"conversations": [{"from": "human", "value": …}, …], "system": …}``; and Alpaca, ``{"instruction": …, "input": …,
"output": …, "system": …, "history": …}``. Other keys of a line are ignored. Nothing here knows of files.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

__all__ = ["MESSAGES", "Message", "Parsed", "parse", "problems_of"]

Message = dict[str, Any]

MESSAGES = '{"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]}'
"""An example of a line."""
_SHAREGPT = '{"conversations": [{"from": "human", "value": "…"}, {"from": "gpt", "value": "…"}]}'
_ALPACA = '{"instruction": "…", "input": "…", "output": "…"}'
_SURROGATE = re.compile("[\ud800-\udfff]")
_HALF = "holds half of a surrogate pair, \\ud800 to \\udfff"
_CALLS = ("function_call", "tool_call")
_ROLES = {
    **dict.fromkeys(("human", "user"), "user"),
    **dict.fromkeys(("gpt", "assistant", "chatgpt", "model", "bot", *_CALLS), "assistant"),
    **dict.fromkeys(("tool", "function", "observation", "tool_response", "function_response"), "tool"),
    "system": "system",
}
"""The role that a ``from`` of ShareGPT stands for."""


@dataclass(slots=True)
class Parsed:
    """A line's value as a conversation.

    Args:
        example: a sound line of the shape that this one has.
        messages: its messages, each with a ``role``; ``content`` is text, a list of parts of text, or, beside
            ``tool_calls``, may be missing or ``None``. Other keys are there only with a value.
        tools: the tools that it offers, as JSON objects, or ``None``.
        problems: what keeps it from being learned from; the rest holds only if there are none.
    """

    example: str = MESSAGES
    messages: list[Message] = field(default_factory=list)
    tools: list[dict[str, Any]] | None = None
    problems: list[str] = field(default_factory=list)


def problems_of(value: object) -> Iterator[str]:
    """What keeps a line's value from being a conversation to learn from."""
    yield from parse(value).problems


def parse(value: object) -> Parsed:
    """Turn a line's value, of any of the shapes, into messages."""
    if not isinstance(value, dict):
        return Parsed(problems=["not a JSON object"])
    if _is_plain(value):
        return Parsed(messages=value["messages"])
    if value.get("messages") is None and value.get("conversations") is not None:
        parsed = _conversation(value, Parsed(_SHAREGPT))
    elif value.get("messages") is None and value.get("instruction") is not None:
        return _with_tools(value, _alpaca(value, Parsed(_ALPACA)))
    else:
        parsed = _turns(value, "messages", Parsed())
    if parsed.messages and not any(message.get("role") == "assistant" for message in parsed.messages):
        parsed.problems.append("no assistant turn: nothing to learn")
    return _with_tools(value, parsed)


def _is_plain(value: dict[str, Any]) -> bool:
    """Whether a line is sound at first sight, as most are: messages of role and text, and nothing else."""
    messages = value.get("messages")
    if not isinstance(messages, list) or value.get("tools"):
        return False
    learned = False
    for message in messages:
        if not isinstance(message, dict) or len(message) != 2:
            return False
        for key in ("role", "content"):
            text = message.get(key)
            if not isinstance(text, str) or not (text.isascii() or not _SURROGATE.search(text)):
                return False
        learned = learned or message["role"] == "assistant"
    return learned


# --- the shapes -----------------------------------------------------------------------------------------------------


def _turns(value: dict[str, Any], key: str, parsed: Parsed) -> Parsed:
    """The list of turns under a key of the line."""
    turns = value.get(key)
    if not isinstance(turns, list) or not turns:
        what = "not a list of messages" if turns else "empty"
        parsed.problems.append(f"`{key}` is {what}" if key in value else f"`{key}` is missing")
        return parsed
    for number, turn in enumerate(turns):
        where = f"{key}[{number}]"
        if isinstance(turn, dict) and key == "conversations" and "role" not in turn:
            parsed.messages.append(_sharegpt(turn, where, parsed.problems))
        elif isinstance(turn, dict):
            parsed.messages.append(_message(turn, where, parsed.problems))
        else:
            keys = "from and value" if key == "conversations" else "role and content"
            parsed.messages.append({})
            parsed.problems.append(f"{where} is not an object with {keys}")
    return parsed


def _conversation(value: dict[str, Any], parsed: Parsed) -> Parsed:
    """ShareGPT: turns, and perhaps a system prompt beside them."""
    _turns(value, "conversations", parsed)
    if (system := value.get("system")) and _is_text(system, "system", parsed.problems):
        before = [message for message in parsed.messages if message.get("role") == "system"]
        if any(message.get("content") != system for message in before):
            parsed.problems.append(
                "`system` is not what the system turn in `conversations` says: leave out one of them"
            )
        if not before:
            parsed.messages.insert(0, {"role": "system", "content": system})
    return parsed


def _alpaca(value: dict[str, Any], parsed: Parsed) -> Parsed:
    """An instruction, perhaps with an input, its output, and the system prompt and the turns before it."""
    problems = parsed.problems
    if (system := value.get("system")) and _is_text(system, "system", problems):
        parsed.messages.append({"role": "system", "content": system})
    history = value.get("history") or []
    if isinstance(history, list) and all(isinstance(pair, list) and len(pair) == 2 for pair in history):
        for number, pair in enumerate(history):
            for half, role in enumerate(("user", "assistant")):
                _is_text(pair[half], f"history[{number}][{half}]", problems)
                parsed.messages.append({"role": role, "content": pair[half]})
    else:
        problems.append("`history` is not a list of [instruction, output]")
    asked = {"instruction": value["instruction"], "input": value.get("input") or ""}
    sound = [_is_text(text, name, problems) for name, text in asked.items()]
    if all(sound):
        parsed.messages.append({"role": "user", "content": "\n\n".join(filter(None, asked.values()))})
    if value.get("output") is None:
        problems.append("`output` is missing")
    elif _is_text(value["output"], "output", problems):
        parsed.messages.append({"role": "assistant", "content": value["output"]})
    return parsed


def _with_tools(value: dict[str, Any], parsed: Parsed) -> Parsed:
    """The tools that a line offers: a list of objects, or that as JSON text."""
    if tools := value.get("tools"):
        tools = _from_text(tools)
        if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
            parsed.problems.append("`tools` is not a list of objects, each the JSON Schema of a function")
        elif _holds_half(tools):
            parsed.problems.append(f"`tools` {_HALF}")
        parsed.tools = tools or None
    return parsed


# --- a turn ---------------------------------------------------------------------------------------------------------


def _sharegpt(turn: dict[str, Any], where: str, problems: list[str]) -> Message:
    """A turn with ``from`` and ``value``."""
    name = turn.get("from")
    if not isinstance(name, str):
        problems.append(f"{where}.from is {'missing' if 'from' not in turn else 'not text'}")
        return {}
    role = _ROLES.get(name.lower())
    if role is None:
        problems.append(f"{where}.from is {json.dumps(name)}, none of {', '.join(_ROLES)}")
        return {}
    if name.lower() in _CALLS:
        calls = _from_text(turn.get("value"))
        calls = calls if isinstance(calls, list) and calls else [calls]
        calls = _tool_calls(calls, f"{where}.value", problems)
        return {"role": role, "content": None, "tool_calls": calls}
    names = {"from": "role", "value": "content"}
    message = {names.get(key, key): item for key, item in turn.items() if key not in ("role", "content")}
    return _message(message | {"role": role}, where, problems, "value")


def _message(turn: dict[str, Any], where: str, problems: list[str], content: str = "content") -> Message:
    """A turn with ``role`` and ``content``, which the file calls by the name given."""
    message = {key: item for key, item in turn.items() if item is not None or key in ("role", "content")}
    calls = message.get("tool_calls")
    if "tool_calls" in message and not calls:
        del message["tool_calls"]
    if not isinstance(turn.get("role"), str):
        problems.append(f"{where}.role is {'missing' if 'role' not in turn else 'not text'}")
    if not (calls and turn.get("content") is None):
        _check_content(turn, where, problems, content)
    if calls and turn.get("role") != "assistant":
        problems.append(f"{where}.tool_calls stand in a turn that is not the assistant's")
    elif calls:
        message["tool_calls"] = _tool_calls(calls, f"{where}.tool_calls", problems)
    if not isinstance(message.get("reasoning_content", ""), str):
        problems.append(f"{where}.reasoning_content is not text")
    for key, item in message.items():
        if key != "tool_calls" and _holds_half(item):
            problems.append(f"{where}.{content if key == 'content' else key} {_HALF}")
    return message


def _check_content(turn: dict[str, Any], where: str, problems: list[str], name: str) -> None:
    """Content is text, or a list of parts of which each is text."""
    content = turn.get("content")
    if isinstance(content, str):
        return
    if not isinstance(content, list) or not content:
        problems.append(f"{where}.{name} is {'missing' if 'content' not in turn else 'not text'}")
        return
    for number, part in enumerate(content):
        place = f"{where}.{name}[{number}]"
        if not isinstance(part, dict) or not isinstance(part.get("type"), str):
            problems.append(f'{place} is not a part like {{"type": "text", "text": "…"}}')
        elif part["type"] != "text":
            problems.append(f"{place} is of type {json.dumps(part['type'])}: only text can be learned from")
        elif not isinstance(part.get("text"), str):
            problems.append(f"{place}.text is {'missing' if 'text' not in part else 'not text'}")


def _tool_calls(calls: object, where: str, problems: list[str]) -> list[Any]:
    """Calls as templates expect them: ``{"type": "function", "function": {"name": …, "arguments": {…}}}``.

    Services write the arguments as JSON text; templates write them as JSON, so that text would be quoted twice.
    """
    if not isinstance(calls, list):
        problems.append(f"{where} is not a list of calls")
        return []
    made: list[Any] = []
    for number, call in enumerate(calls):
        function = call.get("function", call) if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            problems.append(f'{where}[{number}] is not a call like {{"name": "…", "arguments": {{…}}}}')
            continue
        arguments = function.get("arguments")
        arguments = {} if arguments in (None, "") else _from_text(arguments)
        if not isinstance(arguments, dict):
            problems.append(f"{where}[{number}] has arguments that are no JSON object")
        more = call if function is not call else {"type": "function"}
        made.append({**more, "function": {**function, "arguments": arguments}})
    if _holds_half(made):
        problems.append(f"{where} {_HALF}")
    return made


# --- values ---------------------------------------------------------------------------------------------------------


def _is_text(value: object, name: str, problems: list[str]) -> bool:
    """Whether a value is text that can be learned from; if not, that is a problem."""
    if not isinstance(value, str):
        problems.append(f"`{name}` is not text")
    elif _holds_half(value):
        problems.append(f"`{name}` {_HALF}")
    else:
        return True
    return False


def _from_text(value: object) -> Any:
    """The value that a text holds as JSON; itself if it is no text, or not JSON."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def _holds_half(value: object) -> bool:
    """Whether any text in a value holds half of a surrogate pair; not by recursion: it may be nested deeply."""
    left = [value]
    while left:
        match left.pop():
            case str() as text:
                if not text.isascii() and _SURROGATE.search(text):
                    return True
            case list() as items:
                left += items
            case dict() as items:
                left += [*items, *items.values()]
    return False
