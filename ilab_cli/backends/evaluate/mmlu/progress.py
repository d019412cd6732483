"""The one bar of MMLU, and what engines say of themselves meanwhile."""

from __future__ import annotations

import logging
import sys
import warnings
from typing import Any

from ilab_cli.output import lively

__all__ = ["bar", "quieten"]


def bar(*arguments: Any, **options: Any) -> Any:
    """How many answers have been looked at, on a terminal: tqdm's bar, which takes tqdm's arguments."""
    from tqdm import tqdm

    ours = {
        "desc": "mmlu",
        "unit": " answers",
        "leave": False,
        "dynamic_ncols": True,
        "disable": not lively(sys.stderr),
    }
    return tqdm(*arguments, **{**ours, **options, "desc": ours["desc"]})


class _FirstOfEachKind(logging.Filter):
    """Lets the first warning from each place through."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: set[tuple[str, int]] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        place = (record.pathname, record.lineno)
        known = place in self._seen or "Custom kwargs can be passed" in record.getMessage()  # said of data in memory
        self._seen.add(place)
        return not known


def quieten() -> None:
    """Keep what engines say about themselves off stderr; of each kind of warning of lm-eval the first stays."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("warning: %(message)s"))
    handler.addFilter(_FirstOfEachKind())
    logger = logging.getLogger("lm_eval")
    logger.setLevel(logging.WARNING)
    logger.handlers[:] = [handler]
    logger.propagate = False
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it warns of kernels that evaluation does not use
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    warnings.filterwarnings("ignore", category=FutureWarning)
