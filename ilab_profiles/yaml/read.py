"""YAML text to plain data that remembers where everything stands.

libyaml composes the nodes, in C, with line and column; :class:`_Builder` turns them into data, notes where each key and
value stands, and collects everything that is wrong: duplicate keys, foreign tags, aliases in a circle. What the data
mean is unknown here. Importing this module loads the YAML parser.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml.cyaml import CParser  # type: ignore[attr-defined]
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import CollectionEndEvent, CollectionStartEvent, StreamEndEvent
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from ilab_profiles.diagnostics import Finding, InputError, Position
from ilab_profiles.yaml.document import BOOLS, LINE_BREAK, Document, KeyPath, resolve_scalar
from ilab_profiles.yaml.memory import kept

__all__ = ["parse", "read"]

_FROM_A_SHELL = ("/dev/", "/proc/")
"""Where pipes lie that somebody writes to, such as those of `<(command)`; any other would be waited for in vain."""
MAX_LENGTH = 1_000_000
MAX_DEPTH = 100
MAX_NODES = 10_000
_SHALLOW = 10_000  # a text of so many characters cannot nest deeply enough to exhaust the C stack

_TAGGED: dict[str, Callable[[str], Any]] = {
    "tag:yaml.org,2002:str": lambda text: text,
    "tag:yaml.org,2002:null": lambda text: None,
    "tag:yaml.org,2002:bool": lambda text: BOOLS[text],
    "tag:yaml.org,2002:int": lambda text: int(text, 0),
    "tag:yaml.org,2002:float": lambda text: float(resolve_scalar(text)),
}
_PLAIN = "plain"
_QUOTED = "tag:yaml.org,2002:str"
_COLLECTIONS = {"tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"}


def read(path: Path, source: str | None = None) -> Document:
    """Read a YAML file; see :mod:`ilab_profiles.yaml.memory`.

    Raises:
        InputError: if the file cannot be read or is not the YAML that :func:`parse` accepts.
    """
    name = source or str(path)
    documents: dict[object, Document] = kept()
    try:
        now = path.stat()
        key = (name, now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns)
        if key not in documents:
            if stat.S_ISFIFO(now.st_mode) and not str(path).startswith(_FROM_A_SHELL):
                raise InputError(Finding("unreadable-file", "cannot be read: it is a pipe", position=Position(name)))
            documents[key] = parse(path.read_bytes(), name)
        return documents[key]
    except OSError as error:
        message = f"cannot be read: {error.strerror}"
        raise InputError(Finding("unreadable-file", message, position=Position(name))) from None


def parse(text: str | bytes, source: str = "<text>") -> Document:
    """Read YAML text whose top level is a mapping (an empty text is an empty mapping).

    Raises:
        InputError: with every duplicate key, foreign tag and the like, or with the one syntax error.
    """
    if isinstance(text, bytes):
        text = _decode(text, source)
    return _compose(Document(source, text.removeprefix("\ufeff"), {}))


def _decode(raw: bytes, source: str) -> str:
    encoding = "utf-16" if raw.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8"
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        position = Position(source, line, 1)
        raise InputError(Finding("not-text", f"not valid {encoding.upper()} text", position=position)) from None


def _compose(document: Document) -> Document:
    """Fill a document with the data and positions of its text.

    Raises:
        InputError: with everything that is wrong.
    """
    text, source = document.text, document.source
    try:
        if len(text) > MAX_LENGTH:
            raise InputError(
                Finding("too-large", "the file is larger than this program reads", position=Position(source, 1, 1))
            )
        if len(text) > _SHALLOW:
            _refuse_deep(text, source)
        root = _Composer(text).get_single_node()
    except InputError:
        raise
    except MarkedYAMLError as error:
        raise InputError(_syntax_finding(error, text, source)) from None
    except (YAMLError, ValueError) as error:
        raise InputError(_reader_finding(error, text, source)) from None
    builder = _Builder(document)
    data = builder.build(root, ()) if root is not None else {}
    if data is not None and not isinstance(data, dict):
        builder.report("not-a-mapping", "the file must hold `key: value` lines", root)
    if builder.findings:
        raise InputError(builder.findings)
    document.data.update(data or {})
    return document


class _Composer(CParser):  # type: ignore[misc]
    """Composes nodes and leaves it to :class:`_Builder` to say what a plain scalar is."""

    def resolve(self, kind: type[Node], value: Any, implicit: Any) -> str:
        if kind is ScalarNode:
            return _PLAIN if implicit[0] else _QUOTED
        return "tag:yaml.org,2002:map" if kind is MappingNode else "tag:yaml.org,2002:seq"

    def descend_resolver(self, parent: Any, index: Any) -> None:
        """Nothing to prepare: the tag of a node does not depend on where it stands."""

    def ascend_resolver(self) -> None:
        """Nothing to undo."""


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
        if self._count > MAX_NODES or len(path) > MAX_DEPTH:
            self.report("too-large", "the file holds more, or is nested deeper, than this program reads", node)
            raise InputError(self.findings)
        if isinstance(node, ScalarNode):
            return self._scalar(node)
        if _tag(node) not in _COLLECTIONS:
            self.report("unknown-tag", f"the tag {_tag(node)} is not supported", node, "leave the tag out")
            return None
        if id(node) in self._open:
            self.report("alias-cycle", "an alias refers to itself", node)
            return None
        self._open.add(id(node))
        try:
            if isinstance(node, SequenceNode):
                return [self.build(item, (*path, index)) for index, item in enumerate(node.value)]
            return self._mapping(node, path) if isinstance(node, MappingNode) else None
        finally:
            self._open.discard(id(node))

    def _scalar(self, node: ScalarNode) -> Any:
        if _tag(node) == _PLAIN:
            return resolve_scalar(node.value)
        if _tag(node) == _QUOTED:
            return node.value
        convert = _TAGGED.get(_tag(node))
        if convert is None:
            self.report("unknown-tag", f"the tag {_tag(node)} is not supported", node, "leave the tag out")
            return None
        try:
            return convert(node.value)
        except (KeyError, ValueError, TypeError):
            self.report("bad-tagged-value", f"the value cannot be read as {_tag(node).rpartition(':')[2]}", node)
            return None

    def _mapping(self, node: MappingNode, path: KeyPath) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if _is_merge(key_node):
                for source in self._merge_sources(value_node):
                    data = {**(self.build(source, path) or {}), **data}
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
    return isinstance(key, ScalarNode) and key.value == "<<" and _tag(key) == _PLAIN


def _tag(node: Node) -> str:
    return str(node.ctag.suffix)


def _refuse_deep(text: str, source: str) -> None:
    """Walk the events of a long text and stop at a depth that no profile has, before anything recurses."""
    depth, mark = 0, None
    parser = _Composer(text)
    while not isinstance(event := parser.get_event(), StreamEndEvent):
        if isinstance(event, CollectionStartEvent):
            depth, mark = depth + 1, event.start_mark
        elif isinstance(event, CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH and mark is not None:
            position = Position(source, mark.line + 1, mark.column + 1)
            raise InputError(
                Finding("too-large", "the file is nested deeper than this program reads", position=position)
            )


def _syntax_finding(error: MarkedYAMLError, text: str, source: str) -> Finding:
    mark = error.problem_mark or error.context_mark
    lines = len(LINE_BREAK.split(text.rstrip("\r\n")))
    line, column = (min(mark.line + 1, lines), mark.column + 1) if mark else (1, 1)
    if mark and mark.line + 1 > lines:
        column = 1
    said = [error.problem or "syntax error", error.context or ""]
    if said[0].startswith("but "):
        said = [said[1] + ",", said[0]]
    message, hint = f"not valid YAML: {' '.join(said).strip()}", ""
    written = Document(source, text, {}).lines[line - 1]
    if "\t" in (indent := written[: len(written) - len(written.lstrip())]):
        message, hint, column = "not valid YAML: a tab in the indentation", "use spaces", indent.index("\t") + 1
    shown = Document(source, text, {}).line(line)
    return Finding("yaml-syntax", message, position=Position(source, line, column), hint=hint, line_text=shown)


def _reader_finding(error: Exception, text: str, source: str) -> Finding:
    """A finding for characters that YAML forbids, at the first of them."""
    bad = re.search("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", text)
    before = LINE_BREAK.split(text[: bad.start()] if bad else "")
    position = Position(source, len(before), len(before[-1]) + 1)
    what = f"the character U+{ord(bad[0]):04X} is not allowed" if bad else str(error).splitlines()[0]
    return Finding("yaml-syntax", f"not valid YAML: {what}", position=position)
