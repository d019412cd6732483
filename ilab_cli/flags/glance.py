"""The settings in force at a glance, for help and completion: no model is loaded where a look at names is enough.

The generated table knows the values of built-in profiles, and much of what others may put over them. Anything else is
resolved as a run would resolve it; what is refused then is said in one line, and the default profile is shown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from ilab_cli.command_line import is_completion, words
from ilab_cli.flags import overlay
from ilab_cli.flags.model import read_words
from ilab_cli.flags.table import table
from ilab_cli.session import choice, config_document, given, in_force, in_words
from ilab_profiles import catalog

if TYPE_CHECKING:
    from ilab_profiles.diagnostics import InputError
    from ilab_profiles.yaml.document import Document

__all__ = ["Glance", "glance"]

LEVELS = ("basic", "advanced", "expert")


class Glance(NamedTuple):
    """What is in force for one section.

    Attributes:
        chosen: the profile, in words.
        expertise: its level of help.
        values: for each setting that somebody gives, its value as text and who gives it.
        refused: that the settings are refused, and why; empty if they are not.
    """

    chosen: str
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
    said = read_words(words(), flags, {}).values
    more = "" if any("config" in flag.names for flag in flags) else _after("--config")
    profile = _after("--profile")
    found = _without_flags(section, profile, more)
    names = {flag.path: flag.names[0] for flag in flags}
    typed = {path: (value, f"--{names[path]}") for path, value in said.items()}
    if not found.refused and not is_completion():
        found = found._replace(refused=_refused(section, said, profile, more))
    return _with(found, _expanded(typed))


def _refused(section: str, said: Mapping[str, str], profile: str, more: str) -> str:
    """Why what is typed is refused; empty if each value is right by itself: rules would need the models."""
    from ilab_profiles.diagnostics import InputError

    if all(overlay.fits(f"profile.{path}", value) for path, value in said.items()):
        return ""
    try:
        in_force(section, said, profile or None, more or None)
    except InputError as error:
        return f"These settings are refused: {_reason(error)}"
    return ""


def _reason(error: InputError) -> str:
    return next(str(finding).splitlines()[0] for finding in error.findings if finding.severity == "error")


def _with(found: Glance, over: overlay.Given) -> Glance:
    """What is in force with stronger values, which hold in phases too; data take the place of those."""
    phases, who = found.of("train.phases", "[]")
    if phases != "[]" and "train.data_path" in over:
        phases, who = "[]", over["train.data_path"][1]
    for path, (value, _) in over.items():
        phases = _in_phases(phases, path.removeprefix("train."), value)
    changed = {"train.phases": (phases, who)} if who != "default" else {}
    return found._replace(values=found.values | changed | over)


def _in_phases(phases: str, name: str, value: str) -> str:
    """Phases, as text, with another value wherever a phase has one of this name."""
    return re.sub(rf"\b({re.escape(name)}): (?!null)[^,}}]+", lambda found: f"{found[1]}: {value}", phases)


def _expanded(given: overlay.Given) -> overlay.Given:
    """Let ``train.accelerator`` stand for the switches that it implies, unless the same source gives them too."""
    value, who = given.get("train.accelerator", ("", ""))
    switches = table().accelerators.get(value.strip('"'))
    if switches is None:
        return given
    others = {path: told for path, told in given.items() if path != "train.accelerator"}
    return {path: (on, who) for path, on in switches.items()} | others


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
    from ilab_profiles.diagnostics import InputError

    try:
        document = config_document()
        held, source = choice(profile, document)  # a name typed in part is refused here, before the models are loaded
        own = document if document and source == document.source else None
        found = (None if more else _overlaid(held, own)) or _resolved(section, profile, more)
    except InputError as error:
        refused = f"These are not your settings, which are refused: {_reason(error)}"
        return _stored(catalog.DEFAULT)._replace(refused=refused)
    return found._replace(chosen=f"{_named(held)}, and over it {more}" if more else _named(held))


def _named(held: Any) -> str:
    """What is chosen, in words."""
    if not isinstance(held, str):
        return in_words(held)
    proper = held.replace("-", "_")
    return f"profile {proper if proper in table().profiles else held}"


def _overlaid(held: Any, document: Document | None) -> Glance | None:
    """The quick way, for a built-in profile and what is seen to be right over it; ``None`` where it is none."""
    base = held.get("extends") if isinstance(held, Mapping) else held
    if not isinstance(base, str) or not _is_built_in(base):
        return None
    try:
        written = overlay.in_document(document) if document else {}
        over = _expanded(written) | _expanded(overlay.in_environment())
    except overlay.Unsure:
        return None
    found = _with(_stored(base), over)
    return found._replace(expertise=found.of("expertise", found.expertise)[0].strip('"'))


def _is_built_in(name: str) -> bool:
    proper = name.replace("-", "_")
    return proper in table().profiles and catalog.find(proper) == catalog.built_in_folder() / f"{proper}.yaml"


def _stored(name: str) -> Glance:
    found = table().profiles[name.replace("-", "_")]
    return Glance(_named(name), found.expertise, found.values)


def _resolved(section: str, profile: str, more: str) -> Glance:
    """The slow way, which is right for any profile."""
    effective = in_force(section, {}, profile or None, more or None)
    return Glance("", effective.profile.expertise, given(effective))
