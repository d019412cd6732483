"""A text with its data and where everything stands in it, and what a plain scalar means.

Scalars follow the YAML 1.2 core schema: ``2e-5`` is a number, ``no`` a word, ``012`` twelve. How a text becomes a
document is the business of :mod:`ilab_profiles.yaml.read`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from ilab_profiles.diagnostics import Finding, Position, Severity, nearest

__all__ = ["Document", "KeyPath", "masked", "resolve_scalar"]

KeyPath = tuple[str | int, ...]

LINE_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_SECRETS = ("api_key", "judge_api_key", "secret", "password")


def masked(text: str) -> str:
    """Text with every value masked whose name tells of a secret, or is near to one that does."""
    words = [word for word in re.findall(r"[\w-]+", text) if nearest(word.lower().replace("-", "_"), _SECRETS)]
    names = "|".join(["key", "secret", "password", *map(re.escape, words)])
    value = r"""("(?:\\.|[^"\\])*"?|'[^']*'?|[\[{].*|[^\s,}#][^,}#]*)"""
    pattern = rf"""(?i)((?:{names})\w*["']?\s*[:=]\s*){value}"""
    return re.sub(pattern, lambda found: found[1] + "*" * len(found[2]), text)


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
    text: str = field(repr=False)  # it may hold secrets
    data: dict[str, Any] = field(repr=False)
    values: dict[KeyPath, tuple[int, int]] = field(default_factory=dict, repr=False)
    keys: dict[KeyPath, tuple[int, int]] = field(default_factory=dict, repr=False)
    _lines: list[str] = field(default_factory=list, repr=False, compare=False)

    def position(self, path: KeyPath, *, key: bool = False) -> Position:
        """Where a value (or its key) stands; for a path that is not there, where its nearest parent does, at its key.

        Data that Python made, without a text, have a name but no lines.
        """
        places = self.keys if key else self.values
        while path:
            if path in places:
                return Position(self.source, *places[path])
            path = path[:-1]
            places = self.keys if path in self.keys else self.values
        return Position(self.source) if self.data and not self.text else Position(self.source, 1, 1)

    def finding(
        self,
        rule: str,
        message: str,
        at: KeyPath,
        hint: str = "",
        *,
        path: str = "",
        key: bool = False,
        severity: Severity = "error",
    ) -> Finding:
        """A finding about the value ``at`` a place, or about its key if there is one, with the line it stands in.

        The rest is as :class:`~ilab_profiles.diagnostics.Finding` takes it; ``path`` is that of the keys if not given.
        """
        place = self.position(at, key=key and at in self.keys)
        path = path or "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in at).removeprefix(".")
        return Finding(rule, message, path, place, hint=hint, severity=severity, line_text=self.line(place.line))

    @property
    def lines(self) -> list[str]:
        """The lines of the text, broken where YAML breaks them."""
        if not self._lines:
            self._lines.extend(LINE_BREAK.split(self.text))
        return self._lines

    def line(self, number: int) -> str:
        """The text of a line (from 1), without its end and with keys masked; empty if it is too long to show."""
        lines = self.lines
        text = lines[number - 1] if 0 < number <= len(lines) else ""
        return masked(text) if len(text) <= 200 else ""


_NULLS = {"", "~", "null", "Null", "NULL"}
BOOLS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?[0-9]+")
_OCT_HEX = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_MAX_DIGITS = 400


def resolve_scalar(text: str) -> Any:
    """The value of a plain scalar: ``None``, bool, int, float or the text itself."""
    if text in _NULLS:
        return None
    if text in BOOLS:
        return BOOLS[text]
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
