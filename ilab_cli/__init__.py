"""The program ``ilab``: a thin layer of commands over :mod:`ilab_profiles` and the engines that do the work.

    >>> import ilab_cli, ilab_profiles
    >>> profile = ilab_profiles.load("cpu_only")
    >>> trained = ilab_cli.train(profile.train)  # as `ilab model train` does it
    >>> trained.model, trained.metrics[-1]["loss"]

These names are imported when they are first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ilab_cli.runs.train import Trained, train

__all__ = ["Trained", "train"]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in __all__:
        return getattr(import_module(f"{__name__}.runs.train"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
