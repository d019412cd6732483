"""What ``--help`` of a command with settings prints: each flag with the value in force and who gives it, by section.

Which flags show depends on the profile: on its level of help, and on what it switches on. ``--help-all`` shows all.
"""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

from ilab_cli.command_line import words
from ilab_cli.flags.glance import LEVELS, Glance, glance
from ilab_cli.flags.model import Flag
from ilab_cli.flags.table import table

__all__ = ["is_shown", "page"]

_COLUMN = 30
# Sections without a switch of their own are on where a list names them.
_NAMED_IN = {"evaluate.mmlu": ("evaluate.benchmarks", "mmlu"), "evaluate.mt": ("evaluate.benchmarks", "mt")}


def is_shown(flag: Flag, now: Glance) -> bool:
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


def _is_named(flag: Flag, now: Glance) -> bool:
    path, name = _NAMED_IN.get(flag.path.rpartition(".")[0], ("", ""))
    return name in now.of(path, "")[0]


def page(usage: str, about: str, own: Iterable[tuple[str, str]], section: str) -> str:
    """The whole page.

    Args:
        usage: the usage line.
        about: what the command does.
        own: the command's flags that are no settings, and what they do.
        section: the section whose settings are its other flags.
    """
    now = glance(section)
    flags = table().flags[section]
    shown = flags if "--help-all" in words() else [flag for flag in flags if is_shown(flag, now)]
    return "\n".join(_page(usage, about, own, now, shown, len(flags) - len(shown)))


def _page(
    usage: str, about: str, own: Iterable[tuple[str, str]], now: Glance, shown: list[Flag], hidden: int
) -> Iterator[str]:
    width = min(shutil.get_terminal_size((100, 25)).columns, 110)
    yield f"{usage}\n"
    yield from textwrap.wrap(about, width, initial_indent="  ", subsequent_indent="  ")
    yield f"\n  In force: {now.chosen}. In brackets: each value, and who gives it."
    if now.refused:
        yield from textwrap.wrap(now.refused, width, initial_indent="  ", subsequent_indent="  ")
    for heading, flags in groupby(shown, key=lambda flag: flag.heading):
        yield f"\n{heading}:"
        for flag in flags:
            yield from _row(_left(flag), f"{flag.help}  {_value(flag, now)}", width)
    yield "\nOptions:"
    for left, text in own:
        yield from _row(left, text, width)
    if hidden:
        yield from _row("--help-all", f"Show {hidden} more flags; they always work", width)


def _left(flag: Flag) -> str:
    name = flag.names[0]
    return f"--{name} / --no-{name}" if flag.kind == "switch" else f"--{name} {flag.metavar}"


def _value(flag: Flag, now: Glance) -> str:
    value, origin = now.of(flag.path, flag.default)
    if value in ("", "null", "[]"):
        return "[unset]" if origin == "default" else f"[unset, {origin}]"
    unit = f" {flag.unit}" if flag.unit and value[-1].isdigit() else ""
    text = "**********" if flag.secret else value.strip('"') + unit
    return f"[{text}, {origin}]"


def _row(left: str, text: str, width: int) -> Iterator[str]:
    lines = textwrap.wrap(text, max(width - _COLUMN - 4, 20), break_on_hyphens=False)
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
