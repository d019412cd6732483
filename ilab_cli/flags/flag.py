"""What a flag is, the table that flags are stored in, and how a command line is read for flags before it is run.

All is plain data: making it loads the models (:mod:`ilab_cli.flags.make`), using it does not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

__all__ = ["SECTIONS", "BuiltIn", "Flag", "Table", "Words", "read_words"]

SECTIONS = ("train", "generate.mix", "generate", "evaluate", "serve", "chat")
"""Sections whose settings are the flags of a command."""


class Flag(NamedTuple):
    """One flag.

    Attributes:
        path: dotted path of its field.
        names: its spellings without the leading dashes, the proper one first.
        kind: what it takes: nothing, but with a ``--no-`` form (switch), one value, or several (list).
        choices: the values it takes, if they can be named.
        metavar: what stands for its value in ``--help``.
        help: description of the field, with the bounds of its number.
        unit: what its number counts.
        default: the value where nobody gives one, as text.
        expertise: the level of ``--help`` from which on it is shown.
        heading: title of its section.
        is_path: whether its value names a file or folder.
        secret: whether its value must never be shown.
    """

    path: str
    names: Sequence[str]
    kind: Literal["switch", "one", "list"]
    choices: Sequence[str]
    metavar: str
    help: str
    unit: str
    default: str
    expertise: str
    heading: str
    is_path: bool
    secret: bool

    @property
    def parameter(self) -> str:
        """Name of the Python parameter that carries its value."""
        return self.path.replace(".", "__")

    @property
    def options(self) -> list[str]:
        """Everything that may be typed for it."""
        typed = [f"--{name}" for name in self.names]
        return typed + [f"--no-{name}" for name in self.names] if self.kind == "switch" else typed


class BuiltIn(NamedTuple):
    """A built-in profile: its level of help, and each setting that it gives, with the profile that gives it."""

    description: str
    expertise: str
    values: dict[str, tuple[str, str]]


class Table(NamedTuple):
    """What :mod:`ilab_cli.flags.table` stores.

    Attributes:
        flags: the flags of each section.
        settings: every setting by its dotted path in config.yaml, such as ``profile.train.seed``: its values, if they
            can be named, and whether it takes a list of them.
        profiles: the built-in profiles by name.
        config: what ``config.yaml`` says where it changes nothing.
    """

    flags: dict[str, list[Flag]]
    settings: dict[str, tuple[list[str], bool]]
    profiles: dict[str, BuiltIn]
    config: dict[str, Any]


class Words(NamedTuple):
    """What the words of a command line say: settings by dotted path, the command's own flags, and unknown flags."""

    settings: dict[str, str]
    own: dict[str, str]
    unknown: list[str]


def read_words(words: Sequence[str], flags: Sequence[Flag], own: Mapping[str, bool]) -> Words:
    """Read a command line without running it, for what must be known before: help, unknown flags.

    Args:
        words: the words after the command.
        flags: the flags made from fields.
        own: the command's own flags, and whether each takes a value.
    """
    known = {option: flag for flag in flags for option in flag.options}
    found = Words({}, {}, [])
    rest = iter(words)
    for word in rest:
        name, equals, value = word.partition("=")
        if word == "--":
            break
        if flag := known.get(name):
            if flag.kind == "switch":
                value = "false" if name.startswith("--no-") and name[2:] not in flag.names else "true"
            value = value if equals or flag.kind == "switch" else next(rest, "")
            before = [found.settings[flag.path]] if flag.kind == "list" and flag.path in found.settings else []
            found.settings[flag.path] = ",".join([*before, value])
        elif name in own:
            found.own[name] = value if equals or not own[name] else next(rest, "")
        elif name.startswith("--"):
            found.unknown.append(name)
    return found
