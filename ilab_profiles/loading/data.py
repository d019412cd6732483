"""Profiles from data and back: what the methods of :class:`~ilab_profiles.models.profile.Profile` rest on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ilab_profiles.diagnostics import Finding, InputError, Position
from ilab_profiles.loading.inheritance import extend
from ilab_profiles.loading.layers import Layer, Setting, read_data
from ilab_profiles.loading.merge import merge
from ilab_profiles.models.paths import fields, is_secret
from ilab_profiles.models.profile import Profile
from ilab_profiles.rules.language import show, value_at
from ilab_profiles.yaml.document import Document
from ilab_profiles.yaml.write import dump, to_data

__all__ = ["as_yaml", "from_data", "revise", "without_secrets"]


def from_data(data: object) -> Profile:
    """A checked profile from nested data."""
    source = "<data>"
    if not isinstance(data, Mapping):
        message = f"a profile is a mapping of settings, not {show(data)[:60]}"
        raise InputError(Finding("not-a-mapping", message, position=Position(source)))
    return merge(extend(Document(source, "", dict(data)))).profile


def revise(profile: Profile, changes: Mapping[str, Any]) -> Profile:
    """A checked profile with some values changed, given by dotted path."""
    settings = {path: Setting(value_at(profile, path), "profile", path) for path in fields()}
    return merge([Layer(settings), read_data(changes, "flag", str)]).profile


def without_secrets(profile: Profile) -> dict[str, Any]:
    """Every setting as nested, JSON-ready data, the secrets left out."""
    data = to_data(profile)
    for path in filter(is_secret, fields()):
        *sections, name = path.split(".")
        here = data
        for part in sections:
            here = here[part]
        del here[name]
    return data


def as_yaml(profile: Profile) -> str:
    """The same as commented YAML."""
    return dump(without_secrets(profile), lambda path: fields()[path].description or "" if path in fields() else "")
