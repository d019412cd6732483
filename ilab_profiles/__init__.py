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
    from ilab_profiles.diagnostics import Finding, InputError, Position
    from ilab_profiles.estimate.fit import Fit, fit
    from ilab_profiles.loading.merge import Effective
    from ilab_profiles.loading.sources import check, load, resolve
    from ilab_profiles.models.evaluate import Evaluate
    from ilab_profiles.models.generate import Generate, Mix
    from ilab_profiles.models.profile import Profile
    from ilab_profiles.models.train import Train
    from ilab_profiles.views.diff import Difference, diff
    from ilab_profiles.views.explain import Explanation, explain
    from ilab_profiles.views.schema import json_schema

__all__ = [
    "Difference",
    "Effective",
    "Evaluate",
    "Explanation",
    "Finding",
    "Fit",
    "Generate",
    "InputError",
    "Mix",
    "Position",
    "Profile",
    "Train",
    "check",
    "diff",
    "explain",
    "fit",
    "json_schema",
    "load",
    "names",
    "resolve",
]

_HOMES = {
    "catalog": ["names"],
    "diagnostics": ["Finding", "InputError", "Position"],
    "estimate.fit": ["Fit", "fit"],
    "loading.merge": ["Effective"],
    "loading.sources": ["check", "load", "resolve"],
    "models.evaluate": ["Evaluate"],
    "models.generate": ["Generate", "Mix"],
    "models.profile": ["Profile"],
    "models.train": ["Train"],
    "views.diff": ["Difference", "diff"],
    "views.explain": ["Explanation", "explain"],
    "views.schema": ["json_schema"],
}


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name == "__version__":
        return import_module("importlib.metadata").version("ilab-profiles")
    for module, names in _HOMES.items():
        if name in names:
            value = getattr(import_module(f"{__name__}.{module}"), name)
            globals()[name] = value  # the next look-up finds it here
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
