"""One value changed in YAML or JSON text, every byte outside it kept.

The text is cut at the marks of the parser's events and new text spliced in; nothing is dumped anew. What comes out is
read again and must say what the old text said, but for that one value. What settings are called, and what they may
be, is unknown here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

from ilab_profiles.diagnostics import InputError
from ilab_profiles.yaml.document import Document, KeyPath, resolve_scalar
from ilab_profiles.yaml.read import parse
from ilab_profiles.yaml.write import dump, scalar

__all__ = ["changed", "refusal", "splice"]

Splice = tuple[int, int, str]  # from, to, and what stands there afterwards, with "\n" for the end of a line


def splice(text: str, path: KeyPath, value: object, source: str = "<text>") -> str:
    """The text with the value at a path replaced, or put in where its section ends.

    Comments beside, above and behind the value stay; those inside a list or mapping that is replaced go with it.

    Args:
        text: YAML or JSON with a mapping at its top.
        path: keys, as the text has them, and indexes of list items that lead to the value.
        value: ``None``, a bool, number or text, or lists and mappings of these.
        source: name of the text in findings.

    Raises:
        InputError: if the text is not valid, shares the value with other places by an anchor, or cannot take it.
    """
    body = text.removeprefix("\ufeff")
    old = parse(body, source)
    if _holds(old.data, path, value):
        return text
    newline = "\r\n" if "\r\n" in body else "\n"
    parts, done = [], 0
    for start, end, new in sorted(_Editor(old).splices(path, value), key=lambda cut: cut[:2]):
        parts += [body[done:start], new.replace("\n", newline)]
        done = end
    result = "".join([*parts, body[done:]])
    if not _says(result, changed(old.data, path, value)):
        raise refusal(old, path, "cannot-edit", "cannot be changed without touching something else", "edit it by hand")
    return text[: len(text) - len(body)] + result


def changed(data: Any, path: KeyPath, value: object) -> Any:
    """A copy of nested data with one value changed; sections on the way that are missing or null are made."""
    copy = deepcopy(data)
    here = copy
    for key in path[:-1]:
        if isinstance(here, dict) and here.get(str(key)) is None:
            here[str(key)] = {}
        here = here[key]
    here[path[-1]] = value
    return copy


def refusal(document: Document, path: KeyPath, rule: str, message: str, hint: str = "") -> InputError:
    """The refusal to change what stands at a path."""
    return InputError(document.finding(rule, message, path, hint, path=".".join(map(str, path)), key=True))


def _holds(data: Any, path: KeyPath, value: object) -> bool:
    try:
        return _same(reduce(lambda here, key: here[key], path, data), value)
    except (KeyError, IndexError, TypeError):
        return False


def _says(text: str, data: object) -> bool:
    try:
        return _same(parse(text).data, data)
    except InputError:
        return False


def _same(one: object, other: object) -> bool:
    """Equal in value and type: ``1``, ``1.0`` and ``true`` all differ."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _nested(path: KeyPath, value: object) -> Any:
    return reduce(lambda inner, key: {key: inner}, reversed(path), value)


# --- nodes ------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Node:
    """A YAML node in the text.

    Attributes:
        kind: Scalar, Sequence, Mapping or Alias.
        start, end: where it stands, without the comments and blank lines behind it.
        column: spaces before it in its line.
        text: what a scalar says.
        shared: whether it is an alias, or has an anchor.
        flow: whether it stands between brackets or braces of its own.
        literal: whether it is a block scalar, after ``|`` or ``>``.
        children: items of a sequence; keys and values, in turn, of a mapping.
    """

    kind: str
    start: int
    end: int
    column: int
    text: str
    shared: bool
    flow: bool
    literal: bool
    children: list[_Node] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """Whether it is null, or not written at all."""
        return self.kind == "Scalar" and resolve_scalar(self.text) is None and self.end - self.start == len(self.text)

    @property
    def block(self) -> bool:
        """Whether it has lines of its own, below its key."""
        return self.kind in ("Mapping", "Sequence") and not self.flow

    def find(self, key: str | int) -> int | None:
        """The place, among the children, of the value under a key or index."""
        if self.kind == "Sequence":
            return key if isinstance(key, int) and 0 <= key < len(self.children) else None
        keys = [child.text for child in self.children[::2]]
        return 2 * keys.index(str(key)) + 1 if key in keys else None


def _compose(text: str) -> _Node | None:
    """The outermost node of a text; ``None`` if it holds nothing but comments."""
    from ruamel.yaml.cyaml import CParser  # type: ignore[attr-defined]

    parser = CParser(text)
    parser.get_event()  # the stream begins
    if type(parser.get_event()).__name__ == "StreamEndEvent":
        return None
    root = _read_node(parser, text)
    return None if root.empty else root


def _read_node(parser: Any, text: str) -> _Node:
    """The next node of the parser; its end marks of blocks run up to the next token, those here do not."""
    event = parser.get_event()
    kind = type(event).__name__.removesuffix("Event").removesuffix("Start")
    start, end = event.start_mark.index, event.end_mark.index
    literal = getattr(event, "style", None) in ("|", ">")
    if literal and "+" not in text[start : start + 3]:  # which would keep the blank lines behind it
        end = start + len(text[start:end].rstrip(" \t\r\n"))
    flow = bool(getattr(event, "flow_style", False))
    shared = event.anchor is not None
    node = _Node(kind, start, end, event.start_mark.column, getattr(event, "value", ""), shared, flow, literal)
    if kind in ("Mapping", "Sequence"):
        while not type(parser.peek_event()).__name__.endswith("EndEvent"):
            node.children.append(_read_node(parser, text))
        closing = parser.get_event()
        node.end = closing.end_mark.index if flow else node.children[-1].end
    return node


def _steps(node: _Node) -> Iterator[int]:
    """How far each block mapping inside another one is indented."""
    for child in node.children:
        if {node.kind, child.kind} == {"Mapping"} and not child.flow and child.column > node.column:
            yield child.column - node.column
        yield from _steps(child)


# --- splices ----------------------------------------------------------------------------------------------------------


class _Editor:
    """Finds the splices that set a value in a text, in the style of that text."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.text = document.text
        self.root = _compose(self.text)
        self.step = next(_steps(self.root), 2) if self.root else 2
        try:
            self.json = isinstance(json.loads(self.text), dict)
        except ValueError:
            self.json = False

    def splices(self, path: KeyPath, value: object) -> Iterator[Splice]:
        if self.root is None:
            return iter([self._lines(len(self.text), self._block(_nested(path, value), 0))])
        return self._set(self.root, (), path, value, block=not self.root.flow)

    def _set(self, node: _Node, above: KeyPath, path: KeyPath, value: object, *, block: bool) -> Iterator[Splice]:
        """Set what stands at a path below a node; ``block`` tells whether the node is outside of all brackets."""
        key, below, here = path[0], path[1:], (*above, path[0])
        if node.kind not in ("Mapping", "Sequence"):
            raise refusal(self.document, above, "not-a-section", "holds a value, not settings of its own")
        place = node.find(key)
        if place is None:
            if node.kind == "Sequence" or isinstance(key, int):
                raise refusal(self.document, above, "no-such-item", f"has no item {key!r}")
            return (self._insert_line if block else self._insert_entry)(node, key, _nested(below, value))
        child = node.children[place]
        if child.shared:
            message = "is shared with other places by an anchor"
            raise refusal(self.document, here, "shared-value", message, "edit it by hand")
        if below and not child.empty:
            return self._set(child, here, below, value, block=block and not child.flow)
        if block and node.kind == "Mapping":
            return self._replace(node.children[place - 1], child, _nested(below, value))
        return iter([self._put(child, self._flow(_nested(below, value)))])

    def _replace(self, key: _Node, old: _Node, value: object) -> Iterator[Splice]:
        """Replace a value outside of all brackets: what stands behind its key, and the lines below it."""
        colon = self.text.find(":", key.end) + 1 or key.end
        inline, lines = "", ""
        if isinstance(value, Mapping) and value:
            lines = self._block(value, key.column + self.step)
        elif isinstance(value, (list, tuple)) and value and old.kind == "Sequence" and old.block:
            lines = "".join(f"{' ' * old.column}- {scalar(item)}\n" for item in value)
        else:
            inline = self._flow(value)
        if old.block:
            first, last = self.text.rfind("\n", 0, old.start) + 1, self._line_end(old.end)
            if lines:
                yield first, old.end, lines.removesuffix("\n")
            else:
                yield colon, colon, f" {inline}"
                yield self._line_end(colon), self._line_end(colon), self.text[old.end : last]  # a comment
                yield first, self._next_line(last), ""
        elif old.literal:
            header = re.compile("[|>][-+0-9]*").match(self.text, old.start)
            end = header.end() if header else old.end
            below = self._next_line(end)
            yield old.start if inline else colon, end, inline
            yield below, max(below, self._behind(old.end)), self._lines(below, lines)[2]
        elif inline:
            yield self._put(old, inline)
        else:
            yield colon if "\n" not in self.text[colon : old.start] else old.start, old.end, ""
            yield self._lines(self._next_line(old.end), lines)

    def _insert_line(self, mapping: _Node, key: str, value: object) -> Iterator[Splice]:
        """Put a key in below the last one of a mapping."""
        yield self._lines(self._behind(mapping.end), self._block({key: value}, mapping.children[0].column))

    def _insert_entry(self, mapping: _Node, key: str, value: object) -> Iterator[Splice]:
        """Put a key in behind the last one of a mapping in braces, in a line of its own where that one has one."""
        entry = f"{self._flow(key)}: {self._flow(value)}"
        close = mapping.end - 1
        if not mapping.children:
            yield close, close, entry
            return
        name, last = mapping.children[-2:]
        gap = self.text[last.end : close]
        own_line = re.search(r"\n([ \t]*)$", self.text[: name.start])
        lead = f"\n{own_line[1]}" if own_line else f"\n{' ' * name.column}" if "#" in gap else " "
        comma = "," in re.sub("#.*", "", gap)
        place = last.end + len(gap.rstrip())
        yield last.end, last.end, "" if comma else ","
        yield place, place, f"{lead}{entry}{',' if comma else ''}"

    def _put(self, old: _Node, text: str) -> Splice:
        return old.start, old.end, text if old.start < old.end else f" {text}"

    def _flow(self, value: object) -> str:
        """A value on one line."""
        return json.dumps(value, ensure_ascii=False) if self.json else scalar(value)

    def _block(self, value: Mapping[str, object], column: int) -> str:
        """Nested settings, a line each, indented as the text is."""
        lines = re.sub("(?m)^ +", lambda pad: " " * (len(pad[0]) // 2 * self.step), dump(value))
        return re.sub("(?m)^(?=.)", " " * column, lines)

    def _lines(self, place: int, lines: str) -> Splice:
        """Put lines in where a line starts, or at an end that lacks its newline."""
        if lines and place and self.text[place - 1] != "\n":
            return place, place, "\n" + lines.removesuffix("\n")
        return place, place, lines

    def _line_end(self, place: int) -> int:
        return place + len(self.text[place:].partition("\n")[0].rstrip("\r"))

    def _next_line(self, place: int) -> int:
        return self.text.find("\n", place) + 1 or len(self.text)

    def _behind(self, place: int) -> int:
        """The start of the first line that lies wholly behind a place."""
        return place if place and self.text[place - 1] == "\n" else self._next_line(place)
