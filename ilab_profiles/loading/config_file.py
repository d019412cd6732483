"""``config.yaml`` as layers: what it says itself, and the profile that it names or holds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ilab_profiles import catalog
from ilab_profiles.diagnostics import InputError
from ilab_profiles.loading import inheritance
from ilab_profiles.loading.layers import Layer, Setting, defaults_from, read_document
from ilab_profiles.loading.merge import validate
from ilab_profiles.models.config import Config
from ilab_profiles.yaml.document import Document
from ilab_profiles.yaml.read import read

__all__ = ["config_layers", "config_settings", "is_config", "layers_of"]


def config_layers(document: Document, path: Path) -> list[Layer]:
    """The layers of the profile that a ``config.yaml`` with this content chooses or holds.

    What is wrong outside the profile is in the findings of the first layer, so that merging reports it with the rest.

    Raises:
        InputError: if its profile cannot be found.
    """
    own = read_document(document, "config", document.source, model=Config)
    config, wrong = validate(Config, own.settings)
    first = Layer({}, (*own.findings, *wrong))
    above = (catalog.real(path),)
    try:
        if isinstance(config.profile, dict):
            return [first, *inheritance.extend(document, ("profile",), "config", above)]
        return [first, *inheritance.named(document, ("profile",), config.profile, above)]
    except InputError as error:
        raise InputError([*error.findings, *first.findings]) from None


def config_settings(file: Path | None = None) -> tuple[Config, Mapping[str, Setting]]:
    """The sections of the config file, and what it gives; a wrong value counts as not given, and is told elsewhere.

    Args:
        file: the file; by default the one that is in force, if there is one.

    Raises:
        InputError: if the file cannot be read.
    """
    file = file or catalog.config_file()
    if file is None:
        return Config(), {}
    document = read(file)
    own = read_document(document, "config", document.source, model=Config).settings
    below = catalog.project_folder()
    defaults = defaults_from(below, document.source, Config).settings if below else {}
    return validate(Config, {**defaults, **own})[0], own


def is_config(document: Document) -> bool:
    """Whether a document is a ``config.yaml``, not a profile: by its sections, or, if it is empty, by its name."""
    if not document.data:
        return Path(document.source).name == "config.yaml"
    return not set(catalog.BESIDE_PROFILE).isdisjoint(document.data)


def layers_of(document: Document, path: Path) -> list[Layer]:
    """The layers that a profile file or a ``config.yaml`` makes with this content, what it extends first.

    Raises:
        InputError: if a profile that it names cannot be found or read.
    """
    if is_config(document):
        return config_layers(document, path)
    return inheritance.extend(document, above=(catalog.real(path),))
