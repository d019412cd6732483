"""Which sources speak for a profile, and in which order: profile, config.yaml, environment, flags."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from ilab_profiles import catalog
from ilab_profiles.catalog import Name, real
from ilab_profiles.diagnostics import Finding, InputError
from ilab_profiles.loading import inheritance
from ilab_profiles.loading.config_file import config_layers, layers_of
from ilab_profiles.loading.environment import read_environment
from ilab_profiles.loading.layers import Layer, Setting, defaults_from, from_folder, read_data, read_document
from ilab_profiles.loading.merge import Effective, merge
from ilab_profiles.models.paths import fields, section_of
from ilab_profiles.models.profile import Profile
from ilab_profiles.rules.language import value_at
from ilab_profiles.yaml.read import read

__all__ = ["Subject", "check", "effective_of", "findings_of", "load", "resolve"]

Subject: TypeAlias = Name | Profile | Effective
"""What can be looked at: a profile by name or path, a profile, or the settings in force."""


def load(name: Name) -> Profile:
    """A checked, immutable profile.

    Args:
        name: a name of the catalogue (``"single_gpu"``, ``"multi_gpu/l40s_x4"``) or the path of a file, text or not.

    Raises:
        InputError: with everything that is wrong with it.
    """
    return merge(_layers(name)).profile


def check(name: Name) -> tuple[Finding, ...]:
    """Everything that is wrong with a profile or a config file, warnings included; nothing if all is well."""
    return findings_of(lambda: merge(_layers(name)))


def findings_of(settle: Callable[[], Effective]) -> tuple[Finding, ...]:
    """Everything that is wrong with settings, warnings included.

    Args:
        settle: gives the settings, or raises :class:`InputError`.
    """
    try:
        effective = settle()
    except InputError as error:
        return error.findings
    return effective.warnings


def effective_of(subject: Subject) -> Effective:
    """The settings that a profile, its name or path, or :func:`resolve` gives, with who gives each.

    Raises:
        InputError: with everything that is wrong with a profile that is named.
        TypeError: if it is none of them.
    """
    if isinstance(subject, Effective):
        return subject
    if isinstance(subject, Profile):
        given = {path: value_at(subject, path) for path in fields()}
        changed = {path: value for path, value in given.items() if value != fields()[path].get_default()}
        return Effective(subject, {path: (Setting(value, "profile", "Python"),) for path, value in changed.items()})
    if isinstance(subject, str | os.PathLike):
        return merge(_layers(subject))
    raise TypeError(f"takes a profile, its name or path, or what resolve() gives, not {type(subject).__name__}")


def _layers(name: Name) -> list[Layer]:
    """The layers of a profile, or of what a config file chooses, with the findings of the whole file."""
    path = catalog.find(name)
    return layers_of(inheritance.open_document(path), path)


def resolve(
    profile: Name | None = None,
    *,
    config_file: Path | None = None,
    project: Path | None = None,
    settings_file: Path | None = None,
    section: str = "",
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
    flag_name: Mapping[str, str] | None = None,
) -> Effective:
    """The settings in force, from every source that speaks; the strongest last:
    profile, config.yaml, environment, a file of settings, flags.

    Args:
        profile: name or path of a profile; takes the place of the one that config.yaml chooses.
        config_file: ``config.yaml``, if there is one.
        project: folder from which defaults, and relative paths in profiles that go by their name, start; by default the
            working folder. Those in files start from the file's folder, those in variables and flags from the working
            folder.
        settings_file: a file of settings for this once: a profile, or the settings of one section.
        section: the section that a settings file without sections is about, for example ``"train"``.
        environ: environment variables; those of the form ``ILAB_TRAIN__NUM_EPOCHS`` count.
        flags: values by dotted path.
        flag_name: how the user wrote the flag of a dotted path, for findings.

    Raises:
        InputError: with everything that is wrong.
    """
    environ = os.environ if environ is None else environ
    if isinstance(profile, Profile):
        raise TypeError("resolve takes the name or path of a profile; to change values use Profile.replace")
    chosen = environ.get("ILAB_PROFILE") if profile is None else profile
    if chosen is not None:
        layers = _layers(chosen)
    elif config_file is not None:
        layers = config_layers(read(config_file), config_file)
    else:
        layers = inheritance.chain(catalog.DEFAULT)
    if project is not None:
        defaults = defaults_from(project, str(config_file or project))
        layers = [defaults, *(from_folder(layer, project) if _goes_by_name(layer) else layer for layer in layers)]
    named = flag_name or {}
    layers.append(read_environment(environ))
    if settings_file is not None:
        layers += _read_settings(settings_file, section)
    layers.append(read_data(flags or {}, "flag", lambda path: named.get(path, path)))
    return merge(layers)


def _goes_by_name(layer: Layer) -> bool:
    """Whether a layer is a profile that is called by its name, which belongs to no project."""
    documents = {setting.document.source for setting in layer.settings.values() if setting.document}
    return bool(documents) and all(catalog.in_catalogue(Path(source)) for source in documents)


def _read_settings(path: Path, section: str) -> list[Layer]:
    document = inheritance.open_document(path)
    above = (real(path),)
    if isinstance(document.data.get("profile"), Mapping):
        return inheritance.extend(document, ("profile",), "config", above)
    model = section_of(Profile.model_fields[section].annotation) if section else None
    if model is None or not {*Profile.model_fields, "extends"}.isdisjoint(document.data):
        return inheritance.extend(document, (), "config", above)
    return [read_document(document, "config", document.source, model=model, prefix=f"{section}.")]
