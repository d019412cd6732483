"""The settings in force at a glance, for help and completion: no model is loaded where a look at names is enough.

Where a built-in profile is chosen by name and nothing else speaks, the generated table knows its values. Anything else
is resolved as a run would resolve it; what is refused then is said in one line, and the default profile is shown.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ilab_cli.flags import read_words
from ilab_cli.table import table
from ilab_cli.words import words
from ilab_profiles import catalog

if TYPE_CHECKING:
    from ilab_profiles import Effective

__all__ = ["Glance", "glance"]

LEVELS = ("basic", "advanced", "expert")


class Glance(NamedTuple):
    """What is in force for one section.

    Attributes:
        profile: name or path of the profile.
        expertise: its level of help.
        values: for each setting that somebody gives, its value as text and who gives it.
        refused: why these are not the settings that the user asked for; empty if they are.
    """

    profile: str
    expertise: str
    values: dict[str, tuple[str, str]]
    refused: str = ""

    def of(self, path: str, default: str) -> tuple[str, str]:
        """A value as text, and who gives it."""
        return self.values.get(path, (default, "default"))

    def is_typed(self, path: str) -> bool:
        """Whether the command line itself gives the value."""
        return self.of(path, "")[1].startswith("--")


@cache
def glance(section: str) -> Glance:
    """The settings in force for a section, the words of the command line included."""
    flags = table().flags[section]
    given = read_words(words(), flags, {})
    more = "" if any("config" in flag.names for flag in flags) else _after("--config")
    found = _without_flags(section, _after("--profile"), more)
    names = {flag.path: flag.names[0] for flag in flags}
    typed = {path: (value, f"--{names[path]}") for path, value in given.values.items()}
    return found._replace(values=found.values | typed)


def _after(flag: str) -> str:
    """The value of one of the program's own flags; the last counts."""
    found = ""
    for word, following in zip(words(), (*words()[1:], ""), strict=True):
        if word == flag:
            found = following
        elif word.startswith(f"{flag}="):
            found = word.partition("=")[2]
    return found


def _without_flags(section: str, profile: str, more: str) -> Glance:
    from ilab_cli.settings import chosen
    from ilab_profiles.diagnostics import InputError

    try:
        held, source = chosen(profile)  # a name typed in part is refused here, before the models are loaded
        if isinstance(held, str) and _is_built_in(held) and not more and not _is_set_by_environment():
            return _stored(held)
        return _resolved(section, profile, more)._replace(profile=held if isinstance(held, str) else f"of {source}")
    except InputError as error:
        return _stored(catalog.DEFAULT)._replace(refused=str(error.findings[0]).splitlines()[0])


def _is_set_by_environment() -> bool:
    return any(name.startswith("ILAB_") and name not in catalog.RESERVED for name in os.environ)


def _is_built_in(name: str) -> bool:
    proper = name.replace("-", "_")
    return proper in table().profiles and catalog.find(proper) == catalog.built_in_folder() / f"{proper}.yaml"


def _stored(name: str) -> Glance:
    proper = name.replace("-", "_")
    found = table().profiles[proper]
    return Glance(proper, found.expertise, found.values)


def _resolved(section: str, profile: str, more: str) -> Glance:
    """The slow way, which is right for any profile."""
    from ilab_cli.settings import in_force
    from ilab_profiles.paths import fields
    from ilab_profiles.render import scalar, to_data, value_in

    effective = in_force(section, {}, profile or None, more or None)
    data = to_data(effective.profile)
    values = {path: (scalar(value_in(data, path)), _origin(effective, path)) for path in fields()}
    given = {path: item for path, item in values.items() if item[1] != "default"}
    return Glance("", effective.profile.expertise, given)


def _origin(effective: Effective, path: str) -> str:
    setting = effective.origin(path)
    if setting is None:
        return "default"
    name = catalog.built_in_name(Path(setting.source))
    return f"profile {name}" if name else str(setting.position())
