"""What a section breaks of the rules and checks: the one place where they are run.

The models run it when they are made, loading runs it over the settings in force, to say where each of them stands.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from ilab_profiles.diagnostics import Severity
from ilab_profiles.rules.checks import CHECKS
from ilab_profiles.rules.language import Check, Rule, show, value_at, within
from ilab_profiles.rules.table import RULES

__all__ = ["Violation", "violations"]


_TRAIN = "train"


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule that a section breaks: which, at which field, and what to say about it."""

    rule: str
    path: str
    message: str
    why: str
    fix: Mapping[str, Any]
    undo: Mapping[str, Any]
    severity: Severity
    involved: tuple[str, ...]

    def __str__(self) -> str:
        fix = ", ".join(f"{path}: {show(value)}" for path, value in self.fix.items())
        return f"[{self.rule}] {self.path}: {self.message}; {self.why}" + (f"; fix: set {fix}" if fix else "")


def violations(section: Any, at: str = "") -> Iterator[Violation]:
    """Everything in a section that breaks a rule or a check, in the order of the table; then what phases break.

    A phase breaks only what a setting of its own has to do with.

    Args:
        section: a profile, or a section of one.
        at: dotted path at which the section stands in a profile; empty for a whole profile.
    """
    yield from _broken(section, at)
    if at in ("", _TRAIN):
        train = value_at(section, _TRAIN, at)
        for number, run in enumerate(train.runs() if train.phases else ()):
            for item in _broken(run, _TRAIN):
                places = {path: train.path_in_run(number, path) for path in item.involved}
                if [*places] != [*places.values()]:
                    yield replace(item, path=places[item.path], involved=tuple(places.values()), fix={}, undo={})


def _broken(section: Any, at: str) -> Iterator[Violation]:
    rules, checks = _about(at)
    for rule in rules:
        if all(condition.holds(section, at) for condition in rule.when) and not rule.require.holds(section, at):
            cause = rule.when[0] if rule.when else rule.require
            message = f"{show(value_at(section, cause.path, at))} needs {rule.require}"
            undo = _undo(rule, section, at)
            yield Violation(rule.id, cause.path, message, rule.why, rule.fix, undo, rule.severity, _involved(rule))
    for check in checks:
        for message in check.run(value_at(section, check.at, at)):
            yield Violation(check.id, check.involved[0], message, check.why, {}, {}, check.severity, check.involved)


def _undo(rule: Rule, section: Any, at: str) -> Mapping[str, Any]:
    """The default of the first setting that makes the rule apply, if the rule would not apply with it."""
    for condition in rule.when:
        above, _, name = condition.path.rpartition(".")
        default = type(value_at(section, above, at)).model_fields[name].get_default()
        if condition.op != "default" and not condition.accepts(default):
            return {condition.path: default}
    return {}


@cache
def _about(at: str) -> tuple[tuple[Rule, ...], tuple[Check, ...]]:
    """The rules and checks all of whose fields lie in a section."""
    rules = (rule for rule in RULES if all(within(path, at) for path in _involved(rule)))
    return tuple(rules), tuple(check for check in CHECKS if all(within(path, at) for path in check.involved))


def _involved(rule: Rule) -> tuple[str, ...]:
    return (*(condition.path for condition in rule.when), rule.require.path)
