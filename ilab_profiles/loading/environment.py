"""The environment as a layer: ``ILAB_TRAIN__NUM_EPOCHS=3`` sets ``train.num_epochs``.

pydantic-settings says which variable means which setting; names that mean none are reported with the nearest one.
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
    given = dict(_flat(_nested(ours)))
    found = {variable(path) for path in given}
    unknown = {
        name.removeprefix(PREFIX).lower().replace("__", "."): value for name, value in ours.items() if name not in found
    }
    return read_data({**given, **unknown}, "environment", variable)


def _nested(variables: Mapping[str, str]) -> dict[str, Any]:
    from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict  # slow to import

    class Environment(Profile, BaseSettings):
        model_config = SettingsConfigDict(
            env_prefix=PREFIX, env_nested_delimiter="__", enable_decoding=False, env_ignore_empty=False
        )

    source = EnvSettingsSource(Environment)
    source.env_vars = {name.lower(): value for name, value in variables.items()}
    return source()


def _flat(data: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in data.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
