"""The settings in force for a command: from the profile, ``config.yaml``, the environment and its flags."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ilab_cli.flags import flags_of
from ilab_profiles import Effective, resolve
from ilab_profiles.render import dump, scalar, to_data

__all__ = ["config_path", "in_force", "shown"]


def config_path() -> Path:
    """The config file: ``$ILAB_CONFIG``, else ``config.yaml`` in the working folder."""
    return Path(os.environ.get("ILAB_CONFIG", "config.yaml")).expanduser()


def in_force(section: str, given: Mapping[str, Any], profile: str | None) -> Effective:
    """The settings in force.

    Args:
        section: section of the command, for the names of its flags.
        given: what the flags say, by dotted path.
        profile: the profile that the command line names, if it names one.

    Raises:
        InputError: with everything that is wrong with them.
    """
    path = config_path()
    chosen_file = path if path.is_file() or "ILAB_CONFIG" in os.environ else None
    names = {flag.path: f"--{flag.names[0]}" for flag in flags_of(section)}
    return resolve(profile, config_file=chosen_file, flags=given, flag_name=names)


def shown(effective: Effective, section: str) -> str:
    """One section of the settings in force as YAML, each value with a comment that names who set it."""

    def who(path: str) -> str:
        setting = effective.origin(path)
        return str(setting.position()) if setting else ""

    data: Any = to_data(effective.profile)
    return f"{scalar(section)}:\n" + dump(data[section], who, prefix=f"{section}.", indent=2)
