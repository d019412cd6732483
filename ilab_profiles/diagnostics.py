"""What is wrong, where, and how to mend it: findings, the one exception that carries them, and their language.

A :class:`Finding` is plain data; it knows nothing of rules or models. Every part of the project that refuses an
input raises :class:`InputError` with all findings of that input at once. What a model refuses becomes findings by way
of :mod:`ilab_profiles.problems`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

__all__ = ["Finding", "InputError", "Position", "Severity", "by_place", "counted", "masked", "nearest"]

Severity = Literal["error", "warning"]


BUILT_IN = "profile "
"""How the source of a place in a built-in profile begins."""


@dataclass(frozen=True, slots=True)
class Position:
    """A place: a file with line and column (both from 1; 0 means unknown), or a variable or flag by name.

    A profile that ships with the library is named ``profile NAME`` rather than by its file.
    """

    source: str
    line: int = 0
    column: int = 0

    @property
    def is_file(self) -> bool:
        """Whether the source is a file that the user may open."""
        return not self.source.startswith(BUILT_IN)

    def __str__(self) -> str:
        if not self.is_file and self.line:
            return f"{self.source} (line {self.line})"
        place = [self.source]
        if self.line:
            place.append(str(self.line))
            if self.column:
                place.append(str(self.column))
        return ":".join(place)


_VISIBLE = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) != "\t"}
"""What a file holds must not command the terminal that shows it."""
_IN_ADDRESSES = (
    r"""(?<=://)[^\s/"']+(?=@)"""
    r"""|(?<![^\s"',])[^\s/@"',:]*:[^\s/@"',]+(?=@[\w.-]+:\d)"""
    r"""|(?<=[?&#])(?i:[\w-]*(?:key|token|secret|password)[\w-]*)=[^\s&"']+"""
)
"""Names and passwords, and keys, in addresses; compiled when the first finding is made, as most runs make none."""


def masked(text: str) -> str:
    """A text with stars for the passwords and keys in the addresses that it holds."""
    if "@" not in text and "=" not in text:  # most have neither, and looking closely takes long
        return text
    return re.sub(_IN_ADDRESSES, lambda found: "*" * len(found[0]), text)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with an input.

    Args:
        rule: identifier of the check that found it, for example ``quantize-needs-lora``.
        message: what is wrong, in one line.
        path: dotted path of the setting it is about, empty if it is about none.
        position: where the value stands that has to change.
        why: what would go wrong.
        hint: what to do about it, in words.
        fix: settings that mend it, as pairs of dotted path and value as YAML writes it.
        undo: the other way: settings that take back what asks for the fix.
        unsafe: whether somebody said the contrary of the fix on purpose, so that people must choose.
        severity: an ``error`` refuses the input, a ``warning`` does not.
        line_text: the line of the source at ``position``, for display.

    Passwords and keys in addresses are masked in ``message`` and ``line_text``.
    """

    rule: str
    message: str
    path: str = ""
    position: Position | None = None
    why: str = ""
    hint: str = ""
    severity: Severity = "error"
    line_text: str = ""
    fix: tuple[tuple[str, str], ...] = ()
    undo: tuple[tuple[str, str], ...] = ()
    unsafe: bool = False

    def __post_init__(self) -> None:
        for name in ("message", "line_text"):
            object.__setattr__(self, name, masked(getattr(self, name)))

    def __str__(self) -> str:
        head = f"{self.position}: " if self.position else ""
        about = f"{self.path}: " if self.path and not self.message.startswith(self.path) else ""
        text = f"{head}{self.severity}[{self.rule}] {about}{self.message}"
        lines = [text]
        if self.line_text and self.position and self.position.column:
            lines += [f"    {self.line_text}", f"    {' ' * (self.position.column - 1)}^"]
        if self.why:
            lines.append(f"    {self.why}")
        if remedy := self.remedy:
            lines.append(f"    {remedy}")
        if self.hint:
            lines.append(f"    hint: {self.hint}")
        return "\n".join(line.translate(_VISIBLE) for line in lines)

    @property
    def remedy(self) -> str:
        """What to set, in words; both ways where they are for people to choose. Empty if there is no fix."""
        ways = [f"set {_listed(way)}" for way in (self.fix, self.undo if self.unsafe else ()) if way]
        return f"{'choose' if len(ways) > 1 else 'fix'}: {', or '.join(ways)}" if ways else ""

    def to_dict(self) -> dict[str, Any]:
        """The finding as JSON-ready data."""
        return asdict(self)


def _listed(settings: tuple[tuple[str, str], ...]) -> str:
    return ", ".join(f"{path}: {value}" for path, value in settings)


def by_place(finding: Finding) -> tuple[str, int, int]:
    """The key that sorts findings in the order in which people read."""
    place = finding.position
    return (place.source, place.line, place.column) if place else ("", 0, 0)


class InputError(ValueError):
    """An input was refused; ``findings`` says all that is wrong with it."""

    def __init__(self, findings: Iterable[Finding] | Finding) -> None:
        self.findings: tuple[Finding, ...] = (findings,) if isinstance(findings, Finding) else tuple(findings)
        super().__init__(self.findings)

    def __str__(self) -> str:
        return "\n".join(str(finding) for finding in self.findings)


_APART = 0.05
"""How much nearer than the next one a word must be to be meant."""


def nearest(word: str, known: Iterable[str], cutoff: float = 0.7) -> str | None:
    """The known word that ``word`` most likely stands for, whatever its case; ``None`` if none is near, or two are."""
    import difflib  # only mistakes need it

    word, names = word.casefold(), {name.casefold(): name for name in known}
    found = difflib.get_close_matches(word, names, n=2, cutoff=cutoff)
    near = [difflib.SequenceMatcher(None, name, word).ratio() for name in found]
    return names[found[0]] if found and near[0] - sum(near[1:]) >= _APART else None


def counted(number: object, unit: str) -> str:
    """A number with its unit, which stands in the plural: ``1 process``, ``2 processes``."""
    one = re.sub(r"(?<=ss|ch)es$|s$", "", re.sub("ries$", "ry", unit))
    return f"{number} {one if str(number) == '1' else unit}".rstrip()
