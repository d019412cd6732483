"""Keys of the two endpoints on their way to the worker: by variables, as a command line can be read by everybody."""

from __future__ import annotations

import os

from pydantic import SecretStr

from ilab_profiles import Evaluate

__all__ = ["NAMES", "as_variables", "with_keys"]

NAMES = ("api_key", "judge_api_key")
"""The settings of ``evaluate.mt`` that no command line may hold."""


def as_variables(evaluate: Evaluate) -> dict[str, str]:
    """The variables that hand the keys over. They must not be shown."""
    keys = {name: getattr(evaluate.mt, name) for name in NAMES}
    return {_variable(name): key.get_secret_value() for name, key in keys.items() if key}


def with_keys(evaluate: Evaluate) -> Evaluate:
    """The settings with the keys that this process was handed."""
    keys = {name: SecretStr(os.environ[_variable(name)]) for name in NAMES if _variable(name) in os.environ}
    return evaluate.model_copy(update={"mt": evaluate.mt.model_copy(update=keys)})


def _variable(name: str) -> str:
    return f"ILAB_EVALUATE__MT__{name.upper()}"
