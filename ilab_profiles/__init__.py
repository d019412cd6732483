"""Typed, checked profiles for generating data for, training and evaluating language models.

    >>> import ilab_profiles
    >>> profile = ilab_profiles.load("cpu_only")
    >>> profile.train.lora.enabled
    False

Each name below is imported when it is first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ilab_profiles.catalog import names
    from ilab_profiles.comparison import Difference, diff
    from ilab_profiles.diagnostics import Finding, InputError, Position
    from ilab_profiles.evaluate import Evaluate
    from ilab_profiles.explanation import Explanation, explain
    from ilab_profiles.generate import Generate
    from ilab_profiles.merge import Effective
    from ilab_profiles.mix import Mix
    from ilab_profiles.profile import Profile
    from ilab_profiles.schema import json_schema
    from ilab_profiles.sources import check, load, resolve
    from ilab_profiles.train import Train

__all__ = [
    "Difference",
    "Effective",
    "Evaluate",
    "Explanation",
    "Finding",
    "Generate",
    "InputError",
    "Mix",
    "Position",
    "Profile",
    "Train",
    "check",
    "diff",
    "explain",
    "json_schema",
    "load",
    "names",
    "resolve",
]

_HOMES = {
    "catalog": ["names"],
    "diagnostics": ["Finding", "InputError", "Position"],
    "comparison": ["Difference", "diff"],
    "evaluate": ["Evaluate"],
    "explanation": ["Explanation", "explain"],
    "generate": ["Generate"],
    "merge": ["Effective"],
    "mix": ["Mix"],
    "profile": ["Profile"],
    "sources": ["check", "load", "resolve"],
    "schema": ["json_schema"],
    "train": ["Train"],
}


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> Any:
    from importlib import import_module

    for module, names in _HOMES.items():
        if name in names:
            value = getattr(import_module(f"{__name__}.{module}"), name)
            globals()[name] = value  # the next look-up finds it here
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
