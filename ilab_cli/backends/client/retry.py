"""How long to wait before something that failed is tried again. Nothing else."""

from __future__ import annotations

import random

__all__ = ["LONGEST_WAIT", "delay", "pause"]

LONGEST_WAIT = 600.0
"""Seconds; an endpoint that asks for a longer wait is not waited for."""
_CALL, _CALL_MOST = 0.5, 30.0
_ENDPOINT, _ENDPOINT_MOST = 1.0, 60.0


def delay(tries: int) -> float:
    """Seconds until a call is tried again after so many failed tries.

    Drawn evenly between zero and half a second, doubled with each further try ("full jitter"), so that calls that
    failed together do not come back together. An endpoint that asks for a wait gets no call at all for so long.
    """
    return random.uniform(0, min(_CALL_MOST, _CALL * 2.0 ** (tries - 1)))


def pause(failures: int, asked: float | None = None) -> float:
    """Seconds for which an endpoint is left alone that failed that many times in a row."""
    return max(asked or 0.0, min(_ENDPOINT_MOST, _ENDPOINT * 2.0 ** (failures - 1))) * random.uniform(1, 1.25)
