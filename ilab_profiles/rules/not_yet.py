"""Settings that are understood, but that no engine carries out yet: every run refuses them, and validation says so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ilab_profiles.diagnostics import Finding
from ilab_profiles.rules.language import Condition, show, value_at, within

__all__ = ["NOT_YET", "not_yet"]

NOT_YET: dict[Condition, str] = {}
"""Each such setting, with what to do instead."""


def not_yet(section: Any, at: str = "") -> Iterator[Finding]:
    """What a section asks for that is not implemented yet.

    Args:
        section: a profile, or a section of one.
        at: dotted path at which the section stands in a profile; empty for a whole profile.
    """
    for condition, hint in NOT_YET.items():
        if within(condition.path, at) and condition.holds(section, at):
            value = condition.operand if condition.op == "has" else show(value_at(section, condition.path, at))
            yield Finding("not-supported-yet", f"{value} is not implemented yet", condition.path, hint=hint)
