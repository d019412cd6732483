"""What a migration has to tell: the new settings, what became of each old one, and the YAML text of the result.

How the result comes about is the business of :mod:`ilab_profiles.migration.migrate`; nothing is written to disk here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ilab_profiles.diagnostics import Finding
from ilab_profiles.yaml.write import dump

__all__ = ["SILENT", "Dropped", "Mapped", "Migration"]

SILENT = "older default, not set in the file"
"""The note of a setting that the old file does not mention."""


@dataclass(frozen=True, slots=True)
class Mapped:
    """An old setting and one of the settings that took its place.

    Attributes:
        old, new: dotted paths; items of a list are counted from 0, as in ``train.phases.0.num_epochs``.
        old_value, new_value: the values there; ``old_value`` is the older default where the file is silent.
        note: what to know about the change.
    """

    old: str
    new: str
    old_value: Any
    new_value: Any
    note: str = ""


@dataclass(frozen=True, slots=True)
class Dropped:
    """A setting of the old file that was not carried over, with its value and the reason."""

    old: str
    value: Any
    why: str


@dataclass(frozen=True, slots=True)
class Migration:
    """What an old file became, with an account of each of its settings.

    Attributes:
        source: name of the old file.
        profile: settings of a profile, nested.
        config: the sections ``chat``, ``general`` and ``serve`` of ``config.yaml``, nested.
        mapped, dropped: what became of each setting, in the order of the table.
        findings: what was wrong in the old file, as warnings, in reading order.
    """

    source: str
    profile: dict[str, Any]
    config: dict[str, Any]
    mapped: tuple[Mapped, ...]
    dropped: tuple[Dropped, ...]
    findings: tuple[Finding, ...]

    def profile_yaml(self) -> str:
        """The text of the profile; comments name the old setting where the name changed, and what was left out."""
        left_out = "".join(f"#   {item.old}: {item.why}\n" for item in self.dropped)
        return self._head() + dump(self.profile, self._comment) + (f"# Left out:\n{left_out}" if left_out else "")

    def config_yaml(self, profile: str | None = None) -> str:
        """The text of ``config.yaml``.

        Args:
            profile: name or path of the profile that it chooses; ``None`` puts the settings of the profile into it.
        """
        data = sorted({**self.config, "profile": self.profile if profile is None else profile}.items())
        return self._head() + dump(dict(data), lambda path: self._comment(path.removeprefix("profile.")))

    def _head(self) -> str:
        return f"# Migrated from {' '.join(Path(self.source).name.split())} of the older ilab.\n"

    def _comment(self, path: str) -> str:
        items = [item for item in self.mapped if item.new == path]
        renamed = items and all(item.old != path for item in items)
        silent = items and all(item.note == SILENT for item in items)
        was = [f"was {', '.join(item.old for item in items)}"] if renamed else []
        return "; ".join([*was, SILENT] if silent else was)
