"""What a run came to: what was made, where it lies, the figures that matter, and the next command.

Each back end says it from the files in its run folder, so that it is the same for a run that was finished before.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["Outcome"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to.

    Attributes:
        made: what lies where, for example ``{"model": "runs/train/model"}``.
        figures: numbers by name, JSON-ready.
        lines: the figures for people, in the order in which they matter.
        next: the arguments of the next command; none if there is no obvious one.
    """

    made: dict[str, str] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)
    lines: tuple[str, ...] = ()
    next: tuple[str, ...] = ()
