"""One value, one origin: layers merged by rank, the result checked as a whole.

Key by key the last layer that has a value wins, and lists are replaced as a whole. Every value in force knows who set
it and what it shadows; every finding points to the value that has to change.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from ilab_profiles import catalog
from ilab_profiles.diagnostics import Finding, InputError, by_place
from ilab_profiles.loading.layers import Layer, Setting
from ilab_profiles.loading.phases import PHASES, replaced, settled
from ilab_profiles.models.fields import Section
from ilab_profiles.models.paths import bounds_of, fields, is_secret, items_of
from ilab_profiles.models.profile import Profile
from ilab_profiles.problems import WITHOUT_QUOTES, Problem, problems
from ilab_profiles.rules.language import show
from ilab_profiles.rules.violations import Violation, violations
from ilab_profiles.yaml.document import KeyPath

__all__ = ["Effective", "merge", "validate"]

SectionT = TypeVar("SectionT", bound=Section)


@dataclass(frozen=True, slots=True)
class Effective:
    """A checked profile, and for each setting who gave it.

    Attributes:
        profile: the profile in force.
        settings: for each dotted path that somebody set, what every source says of it, weakest first; of phases, what
            is said of each part too, as of ``train.phases.0.num_epochs``.
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
    layers = [*layers, *replaced(layers)]
    findings = [finding for layer in layers for finding in layer.findings]
    settings: dict[str, list[Setting]] = {}
    ranks: dict[str, int] = {}
    for rank, layer in enumerate(layers):
        for path, setting in layer.settings.items():
            settings.setdefault(path, []).append(setting)
            ranks[path] = rank
    winners = {path: given[-1] for path, given in settings.items()}
    profile, wrong = validate(Profile, winners)
    profile, in_phases = settled(profile, layers)
    findings.extend(wrong)
    winners |= {path: given[-1] for path, given in in_phases.items()}
    ranks |= {path: ranks[_giver(path, given)] for path, given in in_phases.items()}
    findings += _rule_findings(profile, winners, ranks, wrong)
    if any(finding.severity == "error" for finding in findings):
        raise InputError(sorted(findings, key=by_place))
    return Effective(profile, settings | in_phases, tuple(findings))


def validate(model: type[SectionT], winners: Mapping[str, Setting]) -> tuple[SectionT, list[Finding]]:
    """Make a model of the values in force; a default stands in for each wrong value, so that rules can see the rest."""
    data = _nested(winners)
    try:
        return model.with_rules_later(data), []
    except ValidationError as error:
        findings = [_field_finding(problem, winners, fields(model)) for problem in problems(error, model, data)]
    sound = {path: setting for path, setting in winners.items() if not _is_wrong(path, findings)}
    return model.with_rules_later(_nested(sound)), findings


def _is_wrong(path: str, findings: Sequence[Finding]) -> bool:
    """Whether a finding is about the setting, or about an item of its list."""
    return any(f"{finding.path}.".startswith(f"{path}.") for finding in findings)


def _nested(winners: Mapping[str, Setting]) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for path, setting in winners.items():
        *sections, name = path.split(".")
        here = data
        for part in sections:
            here = here.setdefault(part, {})
        here[name] = setting.value
    return data


def _field_finding(problem: Problem, winners: Mapping[str, Setting], known: Mapping[str, FieldInfo]) -> Finding:
    """Say what is wrong with a value, or with a part of it, where that stands."""
    at = problem.at
    depth = next((n for n in range(len(at), 0, -1) if ".".join(map(str, at[:n])) in known), len(at))
    path, below = ".".join(map(str, at[:depth])), at[depth:]
    hint = problem.hint
    if path in known and hint != WITHOUT_QUOTES:
        hint = f"write {bounds_of(_field(known[path], below))}"
    finding = Finding(problem.rule, problem.message, ".".join(map(str, at)), hint=hint)
    if path not in winners:
        return finding
    if not is_secret(path):
        finding = replace(finding, message=f"{show(problem.given)[:60]}: {problem.message}")
    return winners[path].placed(finding, below)


def _field(info: FieldInfo, below: KeyPath) -> FieldInfo:
    """The field of a setting, or the one below it in an item of a list."""
    model = items_of(info.annotation)
    inner = model.model_fields.get(str(below[1])) if model and len(below) > 1 else None
    return inner or info


def _outdone(violation: Violation, ranks: Mapping[str, int]) -> bool:
    """Whether a warning is about a value that a stronger layer made idle on purpose, as by switching LoRA off."""
    cause, *others = (ranks.get(path, -1) for path in violation.involved)
    return violation.severity == "warning" and cause >= 0 and max(others, default=-1) > cause


def _rule_finding(
    violation: Violation, profile: Profile, winners: Mapping[str, Setting], ranks: Mapping[str, int]
) -> Finding:
    """Place a violation at the setting, of those that bring it about, that the strongest layer gave."""
    given = [path for path in violation.involved if path in winners]
    ways = [way for way in (violation.fix, violation.undo) if way and _mends(way, violation, profile)]
    fix, undo = ([tuple((path, show(value)) for path, value in way.items()) for way in ways] + [(), ()])[:2]
    finding = Finding(
        violation.rule,
        violation.message,
        violation.path,
        why=violation.why,
        severity=violation.severity,
        fix=fix if violation.fix else (),
        undo=undo,
        unsafe=any(_is_own(winners.get(path)) for path in violation.fix),
    )
    return winners[max(given, key=lambda path: ranks[path])].placed(finding) if given else finding


def _mends(way: Mapping[str, Any], violation: Violation, profile: Profile) -> bool:
    """Whether settings mend a violation and break no other rule, but one about what is wrong anyway."""
    others = [item for item in violations(profile) if item.severity == "error" and item.rule != violation.rule]
    wrong_anyway = {path for item in others for path in item.involved}
    for item in violations(_replaced(profile, way)):
        if item.rule == violation.rule:
            return False
        if item.severity == "error" and item not in others and wrong_anyway.isdisjoint(item.involved):
            return False
    return True


def _replaced(section: SectionT, changes: Mapping[str, Any]) -> SectionT:
    """A section with values by dotted path, unchecked."""
    own: dict[str, Any] = {}
    for path, value in changes.items():
        name, _, below = path.partition(".")
        if below:
            own[name] = _replaced(own.get(name, getattr(section, name)), {below: value})
        else:
            own[name] = getattr(type(section).with_rules_later({name: value}), name)
    return section.model_copy(update=own)


def _is_own(setting: Setting | None) -> bool:
    """Whether somebody gave a value on purpose: in a file of their own, in a variable or by a flag."""
    if setting is None or setting.value is None:
        return False
    return setting.document is None or not catalog.built_in_name(Path(setting.document.source))


def _rule_findings(
    profile: Profile, winners: Mapping[str, Setting], ranks: Mapping[str, int], wrong: Sequence[Finding]
) -> Iterator[Finding]:
    """What rules say, but for what only a wrong value or a stronger layer brings about."""
    for violation in violations(profile):
        if not any(_is_wrong(path, wrong) for path in violation.involved) and not _outdone(violation, ranks):
            yield _rule_finding(violation, profile, winners, ranks)


def _giver(path: str, given: Sequence[Setting]) -> str:
    """The setting whose layer gives that of a phase: the phases, or what a stronger one says of all of them."""
    return f"train.{path.rpartition('.')[2]}" if len(given) > 1 else PHASES
