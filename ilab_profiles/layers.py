"""One value, one origin: layers of settings, merged by rank, each value knowing who set it and what it shadows.

A :class:`Layer` is what one source says: a file, the environment, the flags. Reading a layer settles names (aliases,
``-`` for ``_``) and reports unknown keys; merging takes key by key the value of the last layer that has one (lists are
replaced as a whole). Nothing here parses text or looks for files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from pydantic import ValidationError

from ilab_profiles.conditions import Violation, show
from ilab_profiles.diagnostics import Finding, InputError, Position, nearest
from ilab_profiles.document import Document, KeyPath
from ilab_profiles.fields import Section
from ilab_profiles.paths import fields, find_field, is_secret, read_text, section_of, spellings
from ilab_profiles.profile import Profile
from ilab_profiles.rules import violations

__all__ = ["Effective", "Kind", "Layer", "Setting", "merge", "read_data", "read_document"]

Kind = Literal["profile", "config", "environment", "flag"]


# --- layers -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Setting:
    """One value as one source gives it.

    Attributes:
        value: as read, before the models see it.
        kind: the kind of source.
        source: name of the source: a profile, a file, a variable, a flag.
        document, keys: where the value stands, for sources that are files.
        rank: place of its layer in the merge; the higher one wins.
    """

    value: Any
    kind: Kind
    source: str
    document: Document | None = None
    keys: KeyPath = ()
    rank: int = 0

    def position(self, below: KeyPath = ()) -> Position:
        """Where the value, or a part of it, stands."""
        if self.document is None:
            return Position(self.source)
        return self.document.position((*self.keys, *below))


@dataclass(frozen=True, slots=True)
class Layer:
    """What one source says, by dotted path, and what was wrong with it."""

    settings: Mapping[str, Setting]
    findings: tuple[Finding, ...] = ()


@dataclass(slots=True)
class _Reader:
    """Walks data along the models and settles names."""

    make: Callable[[KeyPath, Any], Setting]
    locate: Callable[[KeyPath], tuple[Position, str]]
    settings: dict[str, Setting] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def walk(self, model: type[Section], data: Mapping[str, Any], prefix: str, keys: KeyPath) -> None:
        known = spellings(model)
        for key, value in data.items():
            if key == "extends" and not prefix:
                continue  # the catalogue's business
            name = known.get(str(key).replace("-", "_"))
            here: KeyPath = (*keys, key)
            if name is None:
                self._unknown(str(key), known, prefix, here)
                continue
            path = f"{prefix}{name}"
            below = section_of(model.model_fields[name].annotation)
            if below is None:
                self._take(path, here, value)
            elif isinstance(value, Mapping):
                self.walk(below, value, f"{path}.", here)
            elif value is not None:
                self._report("not-a-section", f"{path} holds settings of its own, not {show(value)}", path, here)

    def _take(self, path: str, keys: KeyPath, value: Any) -> None:
        if path in self.settings:
            self._report("duplicate-key", "is given twice, under two spellings", path, keys)
        self.settings[path] = self.make(keys, value)

    def _unknown(self, key: str, known: Mapping[str, str], prefix: str, keys: KeyPath) -> None:
        close = nearest(key.replace("-", "_"), known)
        where = f"section {prefix[:-1]}" if prefix else "a profile"
        hint = f"did you mean {close}?" if close else f"known here: {', '.join(sorted(set(known.values())))}"
        self._report("unknown-key", f"{key!r} is no setting of {where}", f"{prefix}{key}", keys, hint)

    def _report(self, rule: str, message: str, path: str, keys: KeyPath, hint: str = "") -> None:
        position, line = self.locate(keys)
        self.findings.append(Finding(rule, message, path, position, hint=hint, line_text=line))


# --- shorthands -------------------------------------------------------------------------------------------------------

_ACCELERATORS: Mapping[str, Mapping[str, bool]] = {
    "deepspeed": {"train.deepspeed.enabled": True, "train.fsdp.enabled": False},
    "fsdp": {"train.deepspeed.enabled": False, "train.fsdp.enabled": True},
}


def _expand(settings: dict[str, Setting]) -> dict[str, Setting]:
    """Let ``train.accelerator`` switch its section on and the other one off, unless the same source says otherwise."""
    chosen = settings.get("train.accelerator")
    if chosen is None or not isinstance(chosen.value, str) or chosen.value not in _ACCELERATORS:
        return settings
    implied = {path: replace(chosen, value=value) for path, value in _ACCELERATORS[chosen.value].items()}
    return {**implied, **{path: value for path, value in settings.items() if value is not chosen}}


def read_document(document: Document, kind: Kind, source: str, at: KeyPath = ()) -> Layer:
    """The layer that (a part of) a file makes."""
    data: Any = document.data
    for key in at:
        data = data[key]

    def locate(keys: KeyPath) -> tuple[Position, str]:
        position = document.position(keys, key=True)
        return position, document.line(position.line)

    reader = _Reader(lambda keys, value: Setting(value, kind, source, document, keys), locate)
    reader.walk(Profile, data or {}, "", at)
    return Layer(_expand(reader.settings), tuple(reader.findings))


def read_data(data: Mapping[str, Any], kind: Kind, name: Callable[[str], str]) -> Layer:
    """The layer that values by dotted path make, as flags and variables give them; text is read as its field asks.

    Args:
        data: values by dotted path, in any accepted spelling.
        kind: the kind of source.
        name: gives the name of the source (a flag, a variable) for a dotted path.
    """
    settings: dict[str, Setting] = {}
    findings: list[Finding] = []
    for written, value in data.items():
        try:
            path = find_field(written)
        except InputError as error:
            findings.extend(
                Finding(f.rule, f.message, written, Position(name(written)), hint=f.hint) for f in error.findings
            )
            continue
        if path in fields():
            value = read_text(value, fields()[path]) if isinstance(value, str) else value
            settings[path] = Setting(value, kind, name(written))
        else:
            findings.append(Finding("not-a-setting", "is a section, not a setting", path, Position(name(written))))
    return Layer(_expand(settings), tuple(findings))


# --- merging ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Effective:
    """A checked profile, and for each setting who gave it.

    Attributes:
        profile: the profile in force.
        settings: for each dotted path that somebody set, what every source says of it, weakest first.
        warnings: findings that do not refuse the profile.
    """

    profile: Profile
    settings: Mapping[str, Sequence[Setting]]
    warnings: tuple[Finding, ...] = ()

    def origin(self, path: str) -> Setting | None:
        """Who gave the value in force; ``None`` if it is the default."""
        given = self.settings.get(path)
        return given[-1] if given else None


def merge(layers: Sequence[Layer]) -> Effective:
    """Merge layers, weakest first, and check the result.

    Raises:
        InputError: with all findings of all layers, all fields and all rules.
    """
    findings = [finding for layer in layers for finding in layer.findings]
    settings: dict[str, list[Setting]] = {}
    for rank, layer in enumerate(layers):
        for path, setting in layer.settings.items():
            settings.setdefault(path, []).append(replace(setting, rank=rank))
    winners = {path: given[-1] for path, given in settings.items()}
    profile, wrong = _validate(winners, findings)
    broken = [
        _rule_finding(violation, winners) for violation in violations(profile) if wrong.isdisjoint(violation.involved)
    ]
    findings.extend(finding for finding in broken if finding.severity == "error")
    if findings:
        raise InputError(sorted(findings, key=_in_reading_order))
    return Effective(profile, settings, tuple(broken))


def _validate(winners: Mapping[str, Setting], findings: list[Finding]) -> tuple[Profile, set[str]]:
    """The profile, with defaults in place of wrong values, so that the rules can still look at all others."""
    try:
        return Profile.model_validate(_nested(winners)), set()
    except ValidationError as error:
        found = list(_field_findings(error, winners))
    findings.extend(found)
    wrong = {finding.path for finding in found}
    sound = {path: setting for path, setting in winners.items() if path not in wrong}
    return Profile.model_validate(_nested(sound)), wrong


def _in_reading_order(finding: Finding) -> tuple[str, int, int]:
    place = finding.position
    return (place.source, place.line, place.column) if place else ("", 0, 0)


def _nested(winners: Mapping[str, Setting]) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for path, setting in winners.items():
        *sections, name = path.split(".")
        here = data
        for part in sections:
            here = here.setdefault(part, {})
        here[name] = _plain_keys(setting.value)
    return data


def _plain_keys(value: Any) -> Any:
    """Write ``-`` as ``_`` in the keys of the mappings inside a list (the phases of a training)."""
    if isinstance(value, list):
        return [_plain_keys(item) for item in value]
    if isinstance(value, dict):
        return {str(key).replace("-", "_"): _plain_keys(item) for key, item in value.items()}
    return value


def _field_findings(error: ValidationError, winners: Mapping[str, Setting]) -> Iterator[Finding]:
    seen: set[str] = set()
    for item in error.errors(include_url=False, include_context=False):
        loc = item["loc"]
        depth = max((n for n in range(len(loc) + 1) if ".".join(map(str, loc[:n])) in fields()), default=len(loc))
        path = ".".join(map(str, loc[:depth]))
        if path in seen and depth < len(loc):
            continue  # the other branches of a union
        seen.add(path)
        setting = winners.get(path)
        inner = tuple(part for part in loc[depth:] if isinstance(part, (int, str)))
        position = setting.position(inner) if setting else None
        line = setting.document.line(position.line) if setting and setting.document and position else ""
        value = "" if setting is None or is_secret(path) else f"{show(setting.value)[:60]}: "
        yield Finding("bad-value", f"{value}{_say(item['msg'])}", path, position, line_text=line, hint=_expected(path))


def _say(message: str) -> str:
    text = message.removeprefix("Value error, ").replace("Input should be", "should be")
    return text[:1].lower() + text[1:]


def _expected(path: str) -> str:
    info = fields().get(path)
    return f"{info.description}" if info and info.description else ""


def _rule_finding(violation: Violation, winners: Mapping[str, Setting]) -> Finding:
    """Place a violation at the setting, of those that bring it about, that the strongest layer gave."""
    given = [winners[path] for path in violation.involved if path in winners]
    setting = max(given, key=lambda item: item.rank, default=None)
    position = setting.position() if setting else None
    line = setting.document.line(position.line) if setting and setting.document and position else ""
    fix = tuple((path, show(value)) for path, value in violation.fix.items())
    return Finding(
        violation.rule,
        violation.message,
        violation.path,
        position,
        violation.why,
        severity=violation.severity,
        line_text=line,
        fix=fix,
    )
