"""The settings in force for a command: from the profile, ``config.yaml``, the environment and its flags.

Which files speak is settled here; each of them is read once, however often it is asked for (see ``reading_once``).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ilab_cli import output
from ilab_profiles import catalog
from ilab_profiles.diagnostics import Finding, InputError, Position

if TYPE_CHECKING:
    from ilab_profiles import Effective
    from ilab_profiles.loading.layers import Setting
    from ilab_profiles.models.config import Config
    from ilab_profiles.yaml.document import Document

__all__ = [
    "Typed",
    "chosen",
    "config_in_force",
    "config_document",
    "existing_config",
    "in_force",
    "in_words",
    "origin_of",
    "values_with_origins",
]


# --- config.yaml ------------------------------------------------------------------------------------------------------


def existing_config() -> Path:
    """The config file.

    Raises:
        InputError: if there is none.
    """
    path = catalog.config_file() or catalog.config_path()
    if not os.path.exists(path):
        hint = "make one with `ilab config init`"
        raise InputError(Finding("no-config", "file not found", position=Position(str(path)), hint=hint))
    return path


def config_document() -> Document | None:
    """The config file as it is written, if there is one.

    Raises:
        InputError: if it cannot be read.
    """
    file = catalog.config_file()
    if file is None:
        return None
    from ilab_profiles.yaml.read import read  # loads the YAML parser

    return read(file)


# --- the profile ------------------------------------------------------------------------------------------------------


def chosen(profile: str | None = None) -> tuple[Any, str]:
    """The profile that is chosen, as it is written, and what chooses it.

    Args:
        profile: the one that the command line names, if it names one.

    Raises:
        InputError: if the command line or the environment names none that is there, or config.yaml cannot be read.
    """
    for name, source in ((profile, "--profile"), (os.environ.get("ILAB_PROFILE"), "ILAB_PROFILE")):
        if name is not None:
            catalog.find(name, asked_at=(Position(source), ""))
            return name, source
    document = config_document()
    if document is None:
        return catalog.DEFAULT, "default"
    return document.data.get("profile", catalog.DEFAULT), document.source


def in_words(held: Any) -> str:
    """A chosen profile, which may be a name or settings, for a person to read."""
    if not isinstance(held, Mapping):
        return str(held)
    base = held.get("extends")
    return f"{base} with other settings" if base else "settings of its own"


# --- settings in force ------------------------------------------------------------------------------------------------


class Typed(NamedTuple):
    """What the command line says: values by dotted path, the flag for each path, and the section of the command."""

    values: Mapping[str, Any] = {}
    names: Mapping[str, str] = {}
    section: str = ""


_NOTHING = Typed()


def in_force(typed: Typed = _NOTHING, profile: str | None = None, more: str | None = None) -> Effective:
    """The settings in force.

    Args:
        typed: what the flags say.
        profile: the profile that the command line names, if it names one.
        more: file of settings that the command line names, if it names one.

    Raises:
        InputError: with everything that is wrong with them.
    """
    from ilab_profiles import resolve
    from ilab_profiles.loading.config_file import config_settings

    chosen(profile)
    effective = resolve(
        profile,
        config_file=catalog.config_file(),
        project=catalog.project_folder(),
        settings_file=Path(os.path.expanduser(more)) if more else None,
        section=typed.section,
        flags=typed.values,
        flag_name=typed.names,
    )
    output.configure(config_settings()[0].general.log_level)
    return effective


def config_in_force(typed: Typed = _NOTHING) -> tuple[Config, Mapping[str, Setting]]:
    """The sections of config.yaml with what the flags say over them, and who gives what.

    Raises:
        InputError: with everything that is wrong with the flags, or if the file cannot be read.
    """
    from ilab_profiles.loading.config_file import config_settings
    from ilab_profiles.loading.layers import read_data
    from ilab_profiles.loading.merge import validate
    from ilab_profiles.models.config import Config

    config, given = config_settings()
    if not typed.values:
        return config, given
    layer = read_data(typed.values, "flag", lambda path: typed.names.get(path, path), Config)
    settings = {**given, **layer.settings}
    config, wrong = validate(Config, settings)
    findings = [*layer.findings, *(finding for finding in wrong if finding.path in layer.settings)]
    if findings:
        raise InputError(findings)
    return config, settings


def origin_of(effective: Effective, path: str) -> str:
    """Where the value in force stands; empty if it is the default."""
    setting = effective.origin(path)
    return str(setting.position()) if setting else ""


def values_with_origins(effective: Effective) -> dict[str, tuple[str, str]]:
    """Each setting that somebody gives: its value as text, and who gives it; a built-in profile goes by its name."""
    from ilab_profiles.models.paths import fields
    from ilab_profiles.yaml.write import scalar, to_data, value_in

    data = to_data(effective.profile)
    origins = {path: setting for path in fields() if (setting := effective.origin(path))}
    return {path: (scalar(value_in(data, path)), setting.giver()) for path, setting in origins.items()}
