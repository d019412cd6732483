"""The environment as a layer: ``ILAB_TRAIN__NUM_EPOCHS=3`` sets ``train.num_epochs``.

pydantic-settings says which variable means which setting; what its text means is read as that of a flag is. Names that
mean no setting are reported with the nearest one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ilab_profiles.catalog import RESERVED
from ilab_profiles.loading.layers import Layer, read_data
from ilab_profiles.models.profile import Profile

__all__ = ["PREFIX", "read_environment", "variable"]

PREFIX = "ILAB_"


def variable(path: str) -> str:
    """Name of the variable of a dotted path: ``ILAB_TRAIN__LORA__LORA_RANK``."""
    return PREFIX + path.upper().replace(".", "__")


def read_environment(environ: Mapping[str, str]) -> Layer:
    """The layer that the variables of an environment make."""
    ours = {name: value for name, value in environ.items() if name.startswith(PREFIX) and name not in RESERVED}
    if not ours:
        return Layer({})
    known = {variable(path): path for path in _paths(_nested(ours))}
    named = {name: known.get(name) or name.removeprefix(PREFIX).lower().replace("__", ".") for name in ours}
    return read_data({path: ours[name] for name, path in named.items()}, "environment", variable)


def _nested(variables: Mapping[str, str]) -> dict[str, Any]:
    from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict  # slow to import

    class Environment(Profile, BaseSettings):
        model_config = SettingsConfigDict(
            env_prefix=PREFIX, env_nested_delimiter="__", enable_decoding=False, env_ignore_empty=False
        )

    source = EnvSettingsSource(Environment)
    source.env_vars = {name.lower(): value for name, value in variables.items()}
    return source()


def _paths(data: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in data.items():
        if isinstance(value, Mapping):
            yield from _paths(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"
