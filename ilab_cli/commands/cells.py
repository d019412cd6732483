"""Values as cells of a table: on one line, and no longer than can be read at a glance."""

from __future__ import annotations

from typing import Any

__all__ = ["cell"]

LONGEST = 44


def cell(value: Any) -> str:
    """A value as YAML writes it, cut where it is too long; ``--json`` has all of it."""
    from ilab_profiles.render import scalar

    text = scalar(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
