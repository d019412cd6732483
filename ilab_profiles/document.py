"""YAML text to plain data that remembers where everything stands.

Reading follows the YAML 1.2 core schema (``2e-5`` is a number, ``no`` a word, ``012`` twelve), refuses duplicate keys,
and knows anchors, merge keys and the standard tags only. Nothing here knows what the data mean.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from ilab_profiles.diagnostics import Finding, InputError, Position

__all__ = ["Document", "KeyPath", "parse", "read", "resolve_scalar"]

KeyPath = tuple[str | int, ...]

MAX_DEPTH = 100
MAX_NODES = 200_000
_SHALLOW = 10_000  # a text of so many characters cannot nest deeply enough to exhaust the C stack


_SECRET = re.compile(r"""(?i)((?:key|secret|password)\w*["']?\s*[:=]\s*)("[^"]*"|'[^']*'|[^\s,}#][^,}#]*)""")


def _mask(found: re.Match[str]) -> str:
    return found[1] + "*" * len(found[2])


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML text.

    Attributes:
        source: the name used in findings, usually the file's path.
        text: the text itself.
        data: dictionaries, lists and scalars; the top level is a dictionary.
        values: for each path of keys and indexes, line and column (from 1) of the value.
        keys: the same for the keys.
    """

    source: str
    text: str
    data: dict[str, Any]
    values: dict[KeyPath, tuple[int, int]] = field(default_factory=dict)
    keys: dict[KeyPath, tuple[int, int]] = field(default_factory=dict)

    def position(self, path: KeyPath, *, key: bool = False) -> Position:
        """Where a value (or its key) stands; for a path that is not there, where its nearest parent's key stands."""
        places = self.keys if key else self.values
        while path:
            if path in places:
                return Position(self.source, *places[path])
            path, places = path[:-1], self.keys
        return Position(self.source, 1, 1)

    def line(self, number: int) -> str:
        """The text of a line (from 1), without its end and with keys masked; empty if it is too long to show."""
        lines = self.text.splitlines()
        text = lines[number - 1] if 0 < number <= len(lines) else ""
        return _SECRET.sub(_mask, text) if len(text) <= 200 else ""


def read(path: Path, source: str | None = None) -> Document:
    """Read a YAML file.

    Raises:
        InputError: if the file cannot be read or is not the YAML that :func:`parse` accepts.
    """
    name = source or str(path)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise InputError(
            Finding("unreadable-file", f"cannot be read: {error.strerror}", position=Position(name))
        ) from None
    return parse(raw, name)


def parse(text: str | bytes, source: str = "<text>") -> Document:
    """Read YAML text whose top level is a mapping (an empty text is an empty mapping).

    Raises:
        InputError: with every duplicate key, foreign tag and the like, or with the one syntax error.
    """
    if isinstance(text, bytes):
        text = _decode(text, source)
    text = text.removeprefix("\ufeff")
    try:
        if len(text) > _SHALLOW:
            _refuse_deep(text, source)
        root = _Composer(text).get_single_node()
    except InputError:
        raise
    except yaml.MarkedYAMLError as error:
        raise InputError(_syntax_finding(error, text, source)) from None
    except (yaml.YAMLError, ValueError) as error:
        raise InputError(_reader_finding(error, text, source)) from None
    builder = _Builder(Document(source, text, {}))
    data = builder.build(root, ()) if root is not None else {}
    if data is None:
        data = {}
    if not isinstance(data, dict):
        builder.report("not-a-mapping", "the file must hold `key: value` lines", root)
    if builder.findings:
        raise InputError(builder.findings)
    builder.document.data.update(data)
    return builder.document


# --- scalars of the YAML 1.2 core schema ------------------------------------------------------------------------------

_NULLS = {"", "~", "null", "Null", "NULL"}
_BOOLS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?[0-9]+")
_OCT_HEX = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_MAX_DIGITS = 400


def resolve_scalar(text: str) -> Any:
    """The value of a plain scalar: ``None``, bool, int, float or the text itself."""
    if text in _NULLS:
        return None
    if text in _BOOLS:
        return _BOOLS[text]
    if text[0] not in "+-.0123456789" or len(text) > _MAX_DIGITS:
        return text
    if _INT.fullmatch(text):
        return int(text)
    if _OCT_HEX.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _SPECIAL.fullmatch(text):
        return float(text.replace(".", "", 1))
    return text


_TAGGED = {
    "tag:yaml.org,2002:str": lambda text: text,
    "tag:yaml.org,2002:null": lambda text: None,
    "tag:yaml.org,2002:bool": lambda text: _BOOLS[text],
    "tag:yaml.org,2002:int": lambda text: int(text, 0),
    "tag:yaml.org,2002:float": lambda text: float(resolve_scalar(text)),
}
_PLAIN = "plain"
_QUOTED = "tag:yaml.org,2002:str"
_COLLECTIONS = {"tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"}


# --- composing --------------------------------------------------------------------------------------------------------

_C_PARSER: type[Any] | None = getattr(yaml, "CBaseLoader", None)
_Parser: Any = _C_PARSER or yaml.BaseLoader


class _Composer(_Parser):  # type: ignore[misc]
    """Composes nodes and leaves it to :class:`_Builder` to say what a plain scalar is."""

    def resolve(self, kind: type[Node], value: Any, implicit: Any) -> str:
        if kind is ScalarNode:
            return _PLAIN if implicit[0] else _QUOTED
        return "tag:yaml.org,2002:map" if kind is MappingNode else "tag:yaml.org,2002:seq"


class _Builder:
    """Turns nodes into data, notes positions, and collects what is wrong."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.findings: list[Finding] = []
        self._open: set[int] = set()
        self._count = 0

    def report(self, rule: str, message: str, node: Node, hint: str = "") -> None:
        position = Position(self.document.source, node.start_mark.line + 1, node.start_mark.column + 1)
        line = self.document.line(position.line)
        self.findings.append(Finding(rule, message, position=position, hint=hint, line_text=line))

    def build(self, node: Node, path: KeyPath) -> Any:
        self.document.values[path] = (node.start_mark.line + 1, node.start_mark.column + 1)
        self._count += 1
        if isinstance(node, ScalarNode):
            return self._scalar(node)
        if node.tag not in _COLLECTIONS:
            self.report("unknown-tag", f"the tag {node.tag} is not known here", node, "leave the tag out")
            return None
        if id(node) in self._open:
            self.report("alias-cycle", "an alias stands inside what it refers to", node)
            return None
        if self._count > MAX_NODES or len(path) > MAX_DEPTH:
            if not any(finding.rule == "too-large" for finding in self.findings):
                self.report("too-large", "the file holds more, or is nested deeper, than any profile can", node)
            return None
        self._open.add(id(node))
        try:
            if isinstance(node, SequenceNode):
                return [self.build(item, (*path, index)) for index, item in enumerate(node.value)]
            return self._mapping(node, path) if isinstance(node, MappingNode) else None
        finally:
            self._open.discard(id(node))

    def _scalar(self, node: ScalarNode) -> Any:
        if node.tag == _PLAIN:
            return resolve_scalar(node.value)
        if node.tag == _QUOTED:
            return node.value
        convert = _TAGGED.get(node.tag)
        if convert is None:
            self.report("unknown-tag", f"the tag {node.tag} is not known here", node, "leave the tag out")
            return None
        try:
            return convert(node.value)
        except (KeyError, ValueError, TypeError):
            self.report("bad-tagged-value", f"{node.value[:40]!r} is no {node.tag.rpartition(':')[2]}", node)
            return None

    def _mapping(self, node: MappingNode, path: KeyPath) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if _is_merge(key_node):
                for source in self._merge_sources(value_node):
                    data = {**self.build(source, path), **data}
        seen: set[str] = set()
        for key_node, value_node in node.value:
            if not isinstance(key_node, ScalarNode):
                self.report("bad-key", "a key must be a word", key_node)
            elif key_node.value in seen:
                first = self.document.keys[(*path, key_node.value)]
                self.report("duplicate-key", f"{key_node.value!r} is given twice; first in line {first[0]}", key_node)
            elif not _is_merge(key_node):
                seen.add(key_node.value)
                place = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
                self.document.keys[(*path, key_node.value)] = place
                data[key_node.value] = self.build(value_node, (*path, key_node.value))
        return data

    def _merge_sources(self, node: Node) -> Iterator[Node]:
        for source in node.value if isinstance(node, SequenceNode) else [node]:
            if isinstance(source, MappingNode):
                yield source
            else:
                self.report("bad-merge", "a merge key `<<` needs a mapping", source)


def _is_merge(key: Node) -> bool:
    return isinstance(key, ScalarNode) and key.value == "<<" and key.tag == _PLAIN


def _refuse_deep(text: str, source: str) -> None:
    """Walk the events of a long text and stop at a depth that no profile has, before anything recurses."""
    depth, mark = 0, None
    for event in yaml.parse(text, Loader=_Parser):  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.CollectionStartEvent):
            depth, mark = depth + 1, event.start_mark
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH and mark is not None:
            position = Position(source, mark.line + 1, mark.column + 1)
            raise InputError(
                Finding("too-large", "the file is nested deeper than any profile can be", position=position)
            )


def _decode(raw: bytes, source: str) -> str:
    encoding = "utf-16" if raw.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8"
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        position = Position(source, line, 1)
        raise InputError(Finding("not-text", f"not valid {encoding.upper()} text", position=position)) from None


def _syntax_finding(error: yaml.MarkedYAMLError, text: str, source: str) -> Finding:
    mark = error.problem_mark or error.context_mark
    lines = max(1, len(text.splitlines()))
    line, column = (min(mark.line + 1, lines), mark.column + 1) if mark else (1, 1)
    if mark and mark.line + 1 > lines:
        column = 1
    context = f" {error.context}" if error.context else ""
    message = f"not valid YAML: {error.problem or 'syntax error'}{context}"
    shown = Document(source, text, {}).line(line)
    return Finding("yaml-syntax", message, position=Position(source, line, column), line_text=shown)


def _reader_finding(error: Exception, text: str, source: str) -> Finding:
    """A finding for characters that YAML forbids, at the first of them."""
    bad = re.search("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", text)
    before = text[: bad.start()] if bad else ""
    position = Position(source, before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)
    what = f"the character U+{ord(bad[0]):04X} is not allowed" if bad else str(error).splitlines()[0]
    return Finding("yaml-syntax", f"not valid YAML: {what}", position=position)
