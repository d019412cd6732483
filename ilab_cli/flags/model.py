"""Flags made from the fields of the models, so that a field is told once.

The name of a flag is the last part of the field's path, with dashes: ``train.lora.lora_rank`` is ``--lora-rank``, and
``enabled`` is the section itself: ``--lora / --no-lora``. Where two fields would share a name, the one nearer to the
top (then the one declared first) has it, and the other takes its section's name in front: ``--mmlu-model``.

A :class:`Flag` is plain data: making it loads the models, using it does not (see :mod:`ilab_cli.flags.table`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

__all__ = ["Flag", "Given", "make_flags", "read_words"]

SECTIONS = ("train", "generate.mix", "generate", "evaluate")
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


# --- from models ------------------------------------------------------------------------------------------------------


def make_flags(section: str) -> tuple[Flag, ...]:
    """The flags of a section, for example ``"train"``, in the order of its fields. Loads the models."""
    from ilab_profiles.models.paths import fields

    paths = {path: info for path, info in fields().items() if path.startswith(f"{section}.")}
    owners: dict[str, str] = {}
    for path in sorted(paths, key=lambda path: path.count(".")):
        owners.setdefault(_leaf(path), path)
    return tuple(_make(path, info, owners) for path, info in paths.items())


def _leaf(path: str) -> str:
    *above, leaf = path.split(".")
    return (above[-1] if leaf == "enabled" else leaf).replace("_", "-")


def _names(path: str, info: FieldInfo, owners: Mapping[str, str]) -> tuple[str, ...]:
    from ilab_profiles.models.fields import aliases_of

    leaf = _leaf(path)
    if owners[leaf] != path:
        return (f"{path.split('.')[-2]}-{leaf}".replace("_", "-"),)
    others = [alias.replace("_", "-") for alias in aliases_of(info)]
    return (leaf, *(alias for alias in others if alias not in owners))


def _make(path: str, info: FieldInfo, owners: Mapping[str, str]) -> Flag:
    from ilab_profiles.models.fields import expertise_of, is_path, unit_of
    from ilab_profiles.models.paths import choices_of, is_secret, items_of, limits_of, list_item
    from ilab_profiles.yaml.write import scalar

    choices = [str(choice) for choice in choices_of(info.annotation)]
    default = info.get_default()
    is_list = bool(list_item(info.annotation) or items_of(info.annotation))
    limits = f" ({', '.join(limits_of(info))})" if limits_of(info) else ""
    return Flag(
        path=path,
        names=_names(path, info, owners),
        kind="switch" if info.annotation is bool else "list" if is_list else "one",
        choices=choices,
        metavar=_metavar(info, choices),
        help=f"{info.description}{limits}",
        unit=unit_of(info) or "",
        default="" if default in (None, ()) else scalar(default),
        expertise=expertise_of(info).value,
        heading=_heading(path),
        is_path=is_path(info),
        secret=is_secret(path),
    )


def _metavar(info: FieldInfo, choices: Sequence[str]) -> str:
    from ilab_profiles.models.fields import is_path
    from ilab_profiles.models.paths import items_of, scalar_kinds

    if items_of(info.annotation):
        return "{NAME:VALUE,…}"
    kinds = {*scalar_kinds(info.annotation)}
    words = [*choices, *(["NUMBER"] if kinds & {int, float} and not kinds <= {*map(type, choices)} else [])]
    return "|".join(words) or ("PATH" if is_path(info) else "TEXT")


def _heading(path: str) -> str:
    """What the model says of the section that the field stands in."""
    from ilab_profiles.models.paths import section_of
    from ilab_profiles.models.profile import Profile

    model, title = Profile, ""
    for part in path.split(".")[:-1]:
        info = model.model_fields[part]
        title, model = info.description or part, section_of(info.annotation) or model  # type: ignore[assignment]
    return title


# --- from a command line ----------------------------------------------------------------------------------------------


class Given(NamedTuple):
    """What the words of a command line say of some flags: values by dotted path, and long flags that are none."""

    values: dict[str, str]
    unknown: list[str]


def read_words(words: Sequence[str], flags: Sequence[Flag], others: Mapping[str, bool]) -> Given:
    """Read a command line without running it, for what must be known before: help, completion, unknown flags.

    Args:
        words: the words after the command.
        flags: the flags made from fields.
        others: the command's own flags, and whether each takes a value.
    """
    known = {option: flag for flag in flags for option in flag.options}
    given = Given({}, [])
    rest = iter(words)
    for word in rest:
        name, equals, value = word.partition("=")
        if word == "--":
            break
        if flag := known.get(name):
            if flag.kind == "switch":
                value = "false" if name.startswith("--no-") and name[2:] not in flag.names else "true"
            value = value if equals or flag.kind == "switch" else next(rest, "")
            before = [given.values[flag.path]] if flag.kind == "list" and flag.path in given.values else []
            given.values[flag.path] = ",".join([*before, value])
        elif name in others:
            _skip(rest, others[name] and not equals)
        elif name.startswith("--"):
            given.unknown.append(name)
    return given


def _skip(rest: Iterator[str], value: bool) -> None:
    if value:
        next(rest, None)
