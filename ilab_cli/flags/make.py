"""Flags made from the fields of the models, so that a field is told once; and what else the table stores.

The name of a flag is the last part of the field's path, with dashes: ``train.lora.lora_rank`` is ``--lora-rank``, and
``enabled`` is the section itself: ``--lora / --no-lora``. Where two fields would share a name, the one nearer to the
top (then the one declared first) has it, and the other takes its section's name in front: ``--mmlu-model``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import NoneType

from pydantic.fields import FieldInfo

from ilab_cli.flags.flag import SECTIONS, BuiltIn, Flag, Table
from ilab_cli.session import values_with_origins
from ilab_profiles.catalog import built_in_files
from ilab_profiles.loading.inheritance import chain
from ilab_profiles.loading.merge import merge
from ilab_profiles.models.config import Config
from ilab_profiles.models.fields import Section, aliases_of, expertise_of, is_path, unit_of
from ilab_profiles.models.paths import (
    choices_of,
    fields,
    is_secret,
    items_of,
    limits_of,
    list_item,
    scalar_kinds,
    section_of,
)
from ilab_profiles.models.profile import Profile
from ilab_profiles.yaml.write import scalar, to_data

__all__ = ["make_flags", "make_table"]


def make_table() -> Table:
    """The table of flags, settings and built-in profiles."""
    settings = {path: info for path, info in fields(Config).items() if path != "profile"}
    settings |= {f"profile.{path}": info for path, info in fields().items()}
    return Table(
        {section: list(make_flags(section)) for section in SECTIONS},
        {path: (_values(info), list_item(info.annotation) is not None) for path, info in settings.items()},
        {name: _built_in(path) for name, path in built_in_files().items()},
        to_data(Config()),
    )


def _values(info: FieldInfo) -> list[str]:
    """The values that a setting takes, if they can be named."""
    is_switch = bool in scalar_kinds(info.annotation)
    return ["true", "false"] if is_switch else [*map(str, choices_of(info.annotation))]


def _built_in(path: Path) -> BuiltIn:
    effective = merge(chain(str(path)))
    return BuiltIn(effective.profile.description, effective.profile.expertise, values_with_origins(effective))


def make_flags(section: str) -> tuple[Flag, ...]:
    """The flags of a section, for example ``"train"``, in the order of its fields."""
    paths = {path: info for path, info in fields(_root(section)).items() if path.startswith(f"{section}.")}
    owners: dict[str, str] = {}
    for path in sorted(paths, key=lambda path: path.count(".")):
        owners.setdefault(_leaf(path), path)
    return tuple(_make(path, info, owners) for path, info in paths.items())


def _leaf(path: str) -> str:
    *above, leaf = path.split(".")
    return (above[-1] if leaf == "enabled" else leaf).replace("_", "-")


def _names(path: str, info: FieldInfo, owners: Mapping[str, str]) -> tuple[str, ...]:
    leaf = _leaf(path)
    if owners[leaf] != path:
        return (f"{path.split('.')[-2]}-{leaf}".replace("_", "-"),)
    others = [alias.replace("_", "-") for alias in aliases_of(info)]
    return (leaf, *(alias for alias in others if alias not in owners))


def _make(path: str, info: FieldInfo, owners: Mapping[str, str]) -> Flag:
    choices = [str(choice) for choice in choices_of(info.annotation)]
    default = info.get_default()
    is_list = bool(list_item(info.annotation) or items_of(info.annotation))
    limits = f" ({', '.join(limits_of(info))})" if limits_of(info) else ""
    return Flag(
        path=path,
        names=_names(path, info, owners),
        kind="switch" if {*scalar_kinds(info.annotation)} - {NoneType} == {bool} else "list" if is_list else "one",
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
    if items_of(info.annotation):
        return "{NAME:VALUE,…}"
    kinds = {*scalar_kinds(info.annotation)}
    words = [*choices, *(["NUMBER"] if kinds & {int, float} and not kinds <= {*map(type, choices)} else [])]
    return "|".join(words) or ("PATH" if is_path(info) else "TEXT")


def _root(path: str) -> type[Section]:
    """The model that holds a section: a profile, or ``config.yaml``."""
    return Profile if path.partition(".")[0] in Profile.model_fields else Config


def _heading(path: str) -> str:
    """What the model says of the section that the field stands in."""
    model, title = _root(path), ""
    for part in path.split(".")[:-1]:
        info = model.model_fields[part]
        title, model = info.description or part, section_of(info.annotation) or model
    return title
