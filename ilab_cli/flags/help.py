"""What ``--help`` of a command with settings prints: each flag with the value in force and its source, by section.

The values come the way that a run takes. Stored ones serve only where a built-in profile alone speaks. Which flags
show depends on the profile: on its level of help, and on what it switches on; ``--help-all`` shows all.
"""

from __future__ import annotations

import os
import shutil
import textwrap
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import groupby
from typing import Any, NamedTuple

from ilab_cli import session
from ilab_cli.command_line import words
from ilab_cli.flags.flag import Flag, read_words
from ilab_cli.flags.table import table
from ilab_profiles import catalog
from ilab_profiles.diagnostics import InputError, counted

__all__ = ["HELP", "LEVELS", "is_shown", "own_rows", "page"]

HELP = ("--help", "-h", "--help-all")
LEVELS = ("basic", "advanced", "expert")
_COLUMN = 30
# Sections without a switch of their own are on where a list names them.
_NAMED_IN = {"evaluate.mmlu": ("evaluate.benchmarks", "mmlu"), "evaluate.mt": ("evaluate.benchmarks", "mt")}
_TAKE_VALUES = {"--profile": True, "--config": True}


# --- what is in force -------------------------------------------------------------------------------------------------


class InForce(NamedTuple):
    """What is in force.

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
def in_force(section: str) -> InForce:
    """The settings in force for a section, those on the command line included."""
    try:
        return _stored() or _resolved(section)
    except InputError as error:
        why = next(str(finding).splitlines()[0] for finding in error.findings if finding.severity == "error")
        return _built_in(catalog.DEFAULT)._replace(refused=f"Your settings are invalid; showing defaults: {why}")


def _stored() -> InForce | None:
    """The stored values of a built-in profile, where nothing else speaks; ``None`` where anything does."""
    if not {*words()[2:]} <= {*HELP} or any(name.startswith("ILAB_") for name in os.environ):
        return None
    if catalog.project_folder():
        return None  # paths start from there
    document = session.config_document()
    data = document.data if document else {"profile": catalog.DEFAULT}
    name = str(data.get("profile")).replace("-", "_")
    says_no_more = {**table().config, **data} == {**table().config, "profile": data.get("profile")}
    return _built_in(name) if says_no_more and _is_built_in(name) else None


def _is_built_in(name: str) -> bool:
    return name in table().profiles and catalog.find(name) == catalog.built_in_folder() / f"{name}.yaml"


def _built_in(name: str) -> InForce:
    found = table().profiles[name]
    return InForce(f"profile {name}", found.expertise, found.values)


def _resolved(section: str) -> InForce:
    """The way that a run takes."""
    flags = table().flags[section]
    typed = read_words(words()[2:], flags, _TAKE_VALUES)
    names = {flag.path: f"--{flag.names[0]}" for flag in flags}
    if section in table().config:
        return _of_config(session.Typed(typed.settings, names, section))
    profile, more = (typed.own.get(name) for name in _TAKE_VALUES)
    effective = session.in_force(session.Typed(typed.settings, names, section), profile, more)
    held = session.chosen(profile)[0]
    chosen = _proper_name(held) if isinstance(held, str) else session.in_words(held)
    chosen = f"{chosen}, and over it {more}" if more else chosen
    return InForce(chosen, effective.profile.expertise, session.values_with_origins(effective))


def _of_config(typed: session.Typed) -> InForce:
    from ilab_profiles.yaml.write import scalar, to_data, value_in

    config, given = session.config_in_force(typed)
    data = to_data(config)
    values = {path: (scalar(value_in(data, path)), str(setting.position())) for path, setting in given.items()}
    return InForce("config.yaml" if catalog.config_file() else "the defaults", LEVELS[-1], values)


def _proper_name(name: str) -> str:
    proper = name.replace("-", "_")
    return f"profile {proper if proper in table().profiles else name}"


# --- which flags show -------------------------------------------------------------------------------------------------


def is_shown(flag: Flag, now: InForce) -> bool:
    """Whether a flag is called for: by the profile's level of help, where its section is on; or by other flags."""
    if now.is_typed(flag.path):
        return True
    switch = _switch(flag)
    on = switch is None or flag.path == switch.path or now.of(switch.path, switch.default)[0] == "true"
    if switch is not None and on and now.is_typed(switch.path):
        return True
    return on and _is_named(flag, now) and LEVELS.index(flag.expertise) <= LEVELS.index(now.expertise)


def _switch(flag: Flag) -> Flag | None:
    """The switch of the section that a flag belongs to."""
    path = f"{flag.path.rpartition('.')[0]}.enabled"
    return next((other for other in table().flags[path.partition(".")[0]] if other.path == path), None)


def _is_named(flag: Flag, now: InForce) -> bool:
    path, name = _NAMED_IN.get(flag.path.rpartition(".")[0], ("", ""))
    return name in now.of(path, "")[0]


# --- the page ---------------------------------------------------------------------------------------------------------


def page(usage: str, about: str, own: Iterable[tuple[str, str]], section: str) -> str:
    """The whole page.

    Args:
        usage: the usage line.
        about: what the command does.
        own: the command's flags that are no settings, and what they do.
        section: the section whose settings are its other flags.
    """
    now = in_force(section)
    flags = table().flags[section]
    shown = flags if "--help-all" in words() else [flag for flag in flags if is_shown(flag, now)]
    return "\n".join(_page(usage, about, own, now, shown, len(flags) - len(shown)))


def _page(
    usage: str, about: str, own: Iterable[tuple[str, str]], now: InForce, shown: list[Flag], hidden: int
) -> Iterator[str]:
    width = min(shutil.get_terminal_size((100, 25)).columns, 110)
    yield f"{usage}\n"
    yield from textwrap.wrap(about, width, initial_indent="  ", subsequent_indent="  ")
    yield f"\n  In force: {now.chosen}. In brackets: value and source."
    if now.refused:
        yield from textwrap.wrap(now.refused, width, initial_indent="  ", subsequent_indent="  ")
    for heading, flags in groupby(shown, key=lambda flag: flag.heading):
        yield f"\n{heading}:"
        for flag in flags:
            yield from _row(_left(flag), flag.help, width, _value(flag, now))
    yield "\nOptions:"
    for left, text in own:
        yield from _row(left, text, width)
    if hidden:
        flags_hidden = "flag (it works even when hidden)" if hidden == 1 else "flags (they work even when hidden)"
        yield from _row("--help-all", f"Show {hidden} hidden {flags_hidden}", width)


def _left(flag: Flag) -> str:
    name = flag.names[0]
    return f"--{name} / --no-{name}" if flag.kind == "switch" else f"--{name} {flag.metavar}"


def _value(flag: Flag, now: InForce) -> str:
    value, origin = now.of(flag.path, flag.default)
    if value in ("", "null", "[]"):
        return "[unset]" if origin == "default" else f"[unset, {origin}]"
    unit = flag.unit if value[-1].isdigit() else ""
    text = "**********" if flag.secret else counted(value.strip('"'), unit)
    return f"[{text}, {origin}]"


def _row(left: str, text: str, width: int, value: str = "") -> Iterator[str]:
    """A flag and what it does; its value in force stands whole at the end, on a line of its own if need be."""
    room = max(width - _COLUMN - 4, 20)
    lines = textwrap.wrap(text, room, break_on_hyphens=False)
    if value and lines and len(lines[-1]) + 2 + len(value) <= room:
        lines[-1] += f"  {value}"
    elif value:
        lines += textwrap.wrap(value, room, break_on_hyphens=False)
    if len(left) > _COLUMN:
        yield f"  {left}"
        left = ""
    for line in lines:
        yield f"  {left:{_COLUMN}}  {line}"
        left = ""


def own_rows(params: Iterable[Any], context: Any) -> Iterator[tuple[str, str]]:
    """The rows of a command's own flags, as Typer tells them; it writes the names of ``--help`` in no fixed order."""
    for param in params:
        if (record := param.get_help_record(context)) is not None:
            yield ("-h, --help", record[1]) if "--help" in param.opts else record
