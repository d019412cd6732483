"""Cases of the settings below ``evaluate``."""

from __future__ import annotations

from tests.alive.case import Case

CASES: list[Case] = []
