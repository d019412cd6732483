"""The older ``ilab``'s configuration to a profile and a ``config.yaml`` of today.

What became of each setting is told in :mod:`ilab_profiles.migration.table`; here a file is walked along that table,
and the result is checked by today's models and rules, so that it always loads. Nothing is written to disk here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ilab_profiles.diagnostics import Finding, InputError, by_place
from ilab_profiles.migration.result import SILENT, Dropped, Mapped, Migration
from ilab_profiles.migration.table import OLDER_DEFAULTS, TABLE, Older
from ilab_profiles.migration.values import Drop
from ilab_profiles.models.config import Config
from ilab_profiles.models.fields import Section
from ilab_profiles.models.paths import fields, find_field, items_of, section_of
from ilab_profiles.models.profile import Profile
from ilab_profiles.problems import problems, unknown_key
from ilab_profiles.rules.language import show
from ilab_profiles.rules.violations import Violation, violations
from ilab_profiles.yaml.document import Document, KeyPath
from ilab_profiles.yaml.read import read

__all__ = ["Dropped", "Mapped", "Migration", "migrate"]

_SECTIONS = {path[:at] for path in TABLE for at, character in enumerate(path) if character == "."}
_TODAY = ("profile", "extends")  # keys at the top of today's files, which the older program never had
_IDLE = "leave it out: it never had an effect"
_LEFT_OUT = "left out: today's default holds"


def migrate(document: Document | Path) -> Migration:
    """Migrate a configuration file or a system profile of the older ``ilab``.

    What the file leaves out had the older program's defaults: they are carried over where today's differ. The result
    always loads; a setting that today's models or rules would refuse is left out of it, with a finding.

    Args:
        document: the file, read or not.

    Raises:
        InputError: if it cannot be read, or is no file of the older program.
    """
    if isinstance(document, Path):
        document = read(document)
    work = _Work(document)
    work.walk(document.data, ())
    _refuse_others(document, work.given)
    for prefix, defaults in OLDER_DEFAULTS.items():
        if any(path.startswith(prefix) for path in work.given):
            work.in_force.update(defaults)
    work.in_force.update({path: value for path, value in work.given.items() if value is not None})
    for path, row in TABLE.items():
        if path in work.given or path in work.in_force:
            work.take(row)
    work.settle()
    work.ask_for_data()
    return work.result()


def _refuse_others(document: Document, given: Mapping[str, Any]) -> None:
    hint = "give it a config.yaml or a system profile of the older ilab"
    for key in _TODAY:
        if key in document.data:
            message = f"{key!r} at the top makes it a file of today's ilab: there is nothing to migrate"
            raise InputError(document.finding("no-older-config", message, (key,), hint, key=True))
    if _SECTIONS.isdisjoint(document.data) or all(map(_is_todays, given)):
        message = "it holds no setting that only the older ilab had: there is nothing to migrate"
        raise InputError(Finding("no-older-config", message, position=document.position(()), hint=hint))


def _root(path: str) -> type[Section]:
    """The model at the top of a dotted path."""
    return Profile if path.split(".")[0] in Profile.model_fields else Config


def _is_todays(path: str) -> bool:
    try:
        return bool(find_field(path, _root(path)))
    except InputError:
        return False


# --- one migration ----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Work:
    """The settings that the old file gives, those in force with the older defaults, and what became of each so far."""

    document: Document
    given: dict[str, Any] = field(default_factory=dict)
    in_force: dict[str, Any] = field(default_factory=dict)
    mapped: dict[str, list[Mapped]] = field(default_factory=dict)
    dropped: dict[str, Dropped] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def walk(self, data: Mapping[str, Any], keys: KeyPath) -> None:
        """Note every setting that the table knows, and report every other key."""
        for key, value in data.items():
            here: KeyPath = (*keys, key)
            path = ".".join(map(str, here))
            if path in TABLE:
                self.given[path] = value
            elif path not in _SECTIONS:
                message, hint = unknown_key(str(key), _known(key, path), "the older ilab", _IDLE)
                self._report("unknown-key", message, path, hint, key=here)
            elif isinstance(value, Mapping) and value:
                self.walk(value, here)
            elif value in (None, {}):
                self.dropped[path] = Dropped(path, value, "an empty section")
            else:
                message = f"must be a section, not {show(value)[:60]}"
                self._report("not-a-section", message, path, _LEFT_OUT, key=here)

    def take(self, row: Older) -> None:
        """Carry one setting over, or drop it."""
        value = self.given.get(row.old, self.in_force.get(row.old))
        try:
            outcome = (None,) if value is None else row.convert(value, self.in_force)
        except ValueError as error:
            self._drop(row.old, Drop(str(error), "bad-value", _LEFT_OUT))
            return
        if isinstance(outcome, Drop):
            self._drop(row.old, outcome)
        elif not row.new:
            self._drop(row.old, Drop(row.note))
        else:
            for path, new in zip(row.new, outcome, strict=False):
                self._carry(row, path, value, new)

    def _carry(self, row: Older, path: str, value: Any, new: Any) -> None:
        """Give one new setting its value, unless it is refused or an earlier row of the table gave another one."""
        others = self.mapped.get(path, [])
        wrong = _refusal(path, new)
        if value is None and (wrong or any(item.new_value is not None for item in others)):
            self._drop(row.old, Drop("not set"))
        elif wrong:
            self._drop(row.old, Drop(wrong, "bad-value", _LEFT_OUT))
        elif others and others[0].new_value not in (None, new):
            self._drop(row.old, Drop(f"{others[0].old} comes first, and says otherwise"))
        else:
            for unset in [item for item in others if item.new_value != new]:
                others.remove(unset)
                self._drop(unset.old, Drop("not set"))
            note = row.note if row.old in self.given else SILENT
            self.mapped[path] = [*others, Mapped(row.old, path, value, new, note)]

    def settle(self) -> None:
        """Leave settings out until no rule refuses the rest: of those that break a rule, the one it names first."""
        while broken := self._refused():
            paths, drop = broken
            for item in self.mapped.pop(paths[0]):
                self._drop(item.old, drop)
        for warning in self._violations():
            olds = [item.old for path in self._setters(warning.involved) for item in self.mapped[path]]
            for old in [old for old in olds if old in self.given][:1]:
                self._report(warning.rule, f"{warning.message}: {warning.why}", old)

    def _refused(self) -> tuple[list[str], Drop] | None:
        """What a rule refuses: the new settings that bring it about, and what to say of them."""
        for item in self._violations():
            if item.severity == "error":
                paths = self._setters(item.involved)
                return paths, Drop(f"{item.message}: {item.why}", item.rule, f"left out: set {paths[0]} anew")
        return None

    def _violations(self) -> list[Violation]:
        return list(violations(self._profile()))

    def _profile(self) -> Profile:
        return Profile.with_rules_later(self._nested(Profile))

    def _setters(self, involved: Iterable[str]) -> list[str]:
        """The new settings, of those that bring a violation about, that have a value."""
        return [path for name in involved for path in self.mapped if f"{path}.".startswith(f"{name}.")]

    def ask_for_data(self) -> None:
        """Say what an old file could not: on which data each phase is trained."""
        if any(path.startswith("train.phases.") for path in self.mapped):
            old = next(path for path in self.given if path.startswith("train.phased_phase"))
            message = "training in phases, and the data of each phase, were chosen on the command line"
            hint = "give each of train.phases its data_path; without train.phases, training has one phase"
            self._report("phases-need-data", message, old, hint)

    def result(self) -> Migration:
        """The finished account."""
        mapped = [item for items in self.mapped.values() for item in items]
        kept = {item.old for item in mapped}
        order = {path: number for number, path in enumerate(TABLE)}
        return Migration(
            self.document.source,
            self._nested(Profile),
            self._nested(Config),
            tuple(sorted(mapped, key=lambda item: order[item.old])),
            tuple(item for old, item in self.dropped.items() if old not in kept),
            tuple(sorted(self.findings, key=by_place)),
        )

    def _nested(self, model: type[Section]) -> dict[str, Any]:
        """The settings of a profile or of ``config.yaml`` as nested data."""
        data: dict[str, Any] = {}
        for setting in fields(model):
            for path in [path for path in self.mapped if f"{path}.".startswith(f"{setting}.")]:
                *sections, name = path.split(".")
                here = data
                for part in sections:
                    here = here.setdefault(part, {})
                here[name] = self.mapped[path][-1].new_value
        if phases := data.get("train", {}).get("phases"):
            data["train"]["phases"] = [phases[number] for number in sorted(phases)]
        return data

    def _drop(self, old: str, drop: Drop) -> None:
        if old not in self.given:
            return  # an older default that the file does not mention
        self.dropped[old] = Dropped(old, self.given[old], drop.why)
        if drop.rule:
            self._report(drop.rule, f"{show(self.given[old])[:60]}: {drop.why}", old, drop.hint)

    def _report(self, rule: str, message: str, old: str, hint: str = "", *, key: KeyPath = ()) -> None:
        """Add a finding at the value of an old setting, or at a key."""
        at = key or tuple(old.split("."))
        self.findings.append(
            self.document.finding(rule, message, at, hint, path=old, key=bool(key), severity="warning")
        )


def _known(key: str, path: str) -> dict[str, str]:
    """What an unknown key may stand for, with its whole path: a setting of its section, or its namesake elsewhere."""
    section = path.removesuffix(key)
    siblings = {known.removeprefix(section).split(".")[0] for known in TABLE if known.startswith(section)}
    elsewhere = [known for known in TABLE if known.endswith(f".{key}")]
    return {name: f"{section}{name}" for name in siblings} | ({key: elsewhere[0]} if elsewhere else {})


def _refusal(path: str, value: Any) -> str:
    """Why today's models refuse a value; empty if they take it."""
    *sections, name = path.split(".")
    model = _root(path)
    for part in sections:
        if part in model.model_fields:
            annotation = model.model_fields[part].annotation
            model = section_of(annotation) or items_of(annotation) or model
    try:
        model.with_rules_later({name: value})
    except ValidationError as error:
        return next(problems(error, model, {name: value})).message
    return ""
