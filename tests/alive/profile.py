"""Cases of the settings below ``profile``."""

from __future__ import annotations

from tests.alive.case import Case

CASES: list[Case] = []
