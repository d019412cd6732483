"""Data and settings as YAML text that reads well and that :mod:`ilab_profiles.yaml.document` reads back unchanged."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from ilab_profiles.diagnostics import Finding, InputError
from ilab_profiles.yaml.document import resolve_scalar

__all__ = ["dump", "scalar", "to_data", "value_in"]

_PLAIN = re.compile(r"[A-Za-z_/~.][\w./~@+-]*(?: [\w./~@+()-]+)*")
_OTHER_READERS = {"yes", "no", "on", "off", "y", "n"}  # words that YAML 1.1 takes for booleans


def to_data(model: BaseModel) -> dict[str, Any]:
    """The values of a model as plain data; secrets are masked."""
    return model.model_dump(mode="json")


def value_in(data: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted path of nested data; items of lists are counted from 0.

    Raises:
        InputError: if a list has no such item.
    """
    value: Any = data
    for part in path.split("."):
        if isinstance(value, list) and int(part) >= len(value):
            has = f"there are {len(value)}, counted from 0"
            raise InputError(Finding("no-such-item", f"item not found: {part}: {has}", path))
        value = value[int(part) if isinstance(value, list) else part]
    return value


def scalar(value: Any) -> str:
    """One value on one line; lists and mappings in flow style."""
    if value is None:
        return "null"
    if isinstance(value, float):
        return {"inf": ".inf", "-inf": "-.inf", "nan": ".nan"}.get(repr(value), repr(value))
    if isinstance(value, str):
        plain = _PLAIN.fullmatch(value) and resolve_scalar(value) == value and value.lower() not in _OTHER_READERS
        return value if plain else _quoted(value)
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(scalar, value))}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{scalar(str(key))}: {scalar(item)}' for key, item in value.items())}}}"
    return json.dumps(value)


def _quoted(text: str) -> str:
    """Text in double quotes, with every character that cannot be seen as an escape of YAML."""
    written = json.dumps(text, ensure_ascii=False)
    return "".join(letter if letter == " " or letter.isprintable() else _escape(ord(letter)) for letter in written)


def _escape(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def dump(
    data: Mapping[str, Any],
    comment: Callable[[str], str] = lambda path: "",
    *,
    prefix: str = "",
    indent: int = 0,
) -> str:
    """Nested data as YAML in block style.

    Args:
        data: mappings, lists and scalars.
        comment: gives the comment for a dotted path: a section's stands above it, a value's behind it.
        prefix: dotted path of ``data`` itself, with a point at its end.
        indent: spaces before each line.
    """
    pad = " " * indent
    return "".join(
        line
        for key, value in data.items()
        for line in _entry(f"{pad}{scalar(key)}:", value, comment, f"{prefix}{key}", indent)
    )


def _entry(head: str, value: Any, comment: Callable[[str], str], path: str, indent: int) -> Iterator[str]:
    """One key with its value; mappings and lists of mappings stand below it."""
    note = comment(path)
    if isinstance(value, Mapping) and value:
        below = dump(value, comment, prefix=f"{path}.", indent=indent + 2)
    elif isinstance(value, list) and value and all(isinstance(item, Mapping) and item for item in value):
        items = (dump(item, comment, prefix=f"{path}.{n}.", indent=indent + 4) for n, item in enumerate(value))
        below = "".join(f"{' ' * (indent + 2)}- {item[indent + 4 :]}" for item in items)
    else:
        yield f"{head} {scalar(value)}  # {note}\n" if note else f"{head} {scalar(value)}\n"
        return
    if note:
        yield f"{' ' * indent}# {note}\n"
    yield f"{head}\n{below}"
