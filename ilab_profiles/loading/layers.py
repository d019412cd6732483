"""What one source says: a layer of settings, read from a file, the environment or the flags.

Reading a layer settles names (aliases, ``-`` for ``_``, shorthands) and reports unknown keys; every value remembers
where it stands. Nothing here parses YAML, looks for files or decides which layer wins.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import SecretStr

from ilab_profiles.catalog import built_in_name, in_catalogue
from ilab_profiles.diagnostics import BUILT_IN, Finding, InputError, Position
from ilab_profiles.models.config import Config
from ilab_profiles.models.fields import Section, is_path
from ilab_profiles.models.paths import (
    Shape,
    anchored,
    fields,
    is_secret,
    path_settings,
    read_setting,
    shape_of,
    shapes,
    spellings,
)
from ilab_profiles.models.profile import Profile
from ilab_profiles.problems import known_names, unknown_key
from ilab_profiles.rules.language import show
from ilab_profiles.yaml.document import Document, KeyPath, masked

__all__ = ["ACCELERATORS", "Kind", "Layer", "Setting", "defaults_from", "from_folder", "read_data", "read_document"]

Kind = Literal["profile", "config", "environment", "flag"]


# --- layers -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Setting:
    """One value as one source gives it.

    Attributes:
        value: as read, before the models see it.
        kind: the kind of source.
        source: name of the source: a profile, a file, a variable, a flag.
        document, keys: where the value stands, for sources that are files.
    """

    value: Any
    kind: Kind
    source: str
    document: Document | None = None
    keys: KeyPath = ()

    def position(self, below: KeyPath = ()) -> Position:
        """Where the value, or a part of it, stands."""
        if self.document is None:
            return Position(self.source)
        place = self.document.position(self._written(below))
        name = built_in_name(Path(place.source)) if self.kind == "profile" else None
        return replace(place, source=f"{BUILT_IN}{name}") if name else place

    def giver(self) -> str:
        """Who gives the value: a built-in profile by its name alone, anything else with the place."""
        place = self.position()
        return str(place) if place.is_file else place.source

    def placed(self, finding: Finding, below: KeyPath = ()) -> Finding:
        """A finding about the value, or a part of it, with its place."""
        position = self.position(below)
        line = self.document.line(position.line) if self.document and not is_secret(finding.path) else ""
        return replace(finding, position=position, line_text=line)

    def part(self, below: KeyPath, value: Any) -> Setting:
        """A part of the value, as a setting of its own."""
        return replace(self, value=value, keys=self._written(below))

    def _written(self, below: KeyPath) -> KeyPath:
        """Where a part of the value stands in the document, if there is one."""
        keys, values = self.keys, self.document.values if self.document else {}
        for part in below:
            written = (*keys, part if isinstance(part, int) else part.replace("_", "-"))
            keys = next((there for there in (written, (*keys, part)) if there in values), keys)
        return keys


@dataclass(frozen=True, slots=True)
class Layer:
    """What one source says, by dotted path, and what was wrong with it."""

    settings: Mapping[str, Setting]
    findings: tuple[Finding, ...] = ()


@dataclass(slots=True)
class _Reader:
    """Walks data along the models and settles names."""

    make: Callable[[KeyPath, Any], Setting]
    locate: Callable[[KeyPath], tuple[Position, str]]
    settings: dict[str, Setting] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def walk(self, model: type[Section], data: Mapping[str, Any], prefix: str, keys: KeyPath) -> None:
        for key, name, value in self._named(model, data, prefix, keys):
            shape = shapes(model)[name]
            path, here = f"{prefix}{name}", (*keys, key)
            if shape.section is None:
                self.settings[path] = self.make(here, self.value(shape, value, path, here))
            elif isinstance(value, Mapping):
                self.walk(shape.section, value, f"{path}.", here)
            elif value is not None:
                message = f"must be a section, not {masked(show(value)[:60])}"
                hint = "write its settings below it as `key: value`, with a space after the colon"
                self.report("not-a-section", message, path, here, hint)

    def _named(
        self, model: type[Section], data: Mapping[str, Any], prefix: str, keys: KeyPath
    ) -> Iterator[tuple[str, str, Any]]:
        """Key, name of the field and value of each entry that the model knows; the others are reported."""
        known = spellings(model)
        seen: set[str] = set()
        for key, value in data.items():
            name = known.get(key)
            if key == "extends" and model is Profile:
                continue  # the catalogue's business
            if name is None:
                self._unknown(str(key), model, prefix, (*keys, key))
            elif name in seen:
                self.report("duplicate-key", "is set twice, in two spellings", f"{prefix}{name}", (*keys, key))
            else:
                seen.add(name)
                yield key, name, value

    def value(self, shape: Shape, value: Any, path: str, keys: KeyPath) -> Any:
        """A value with the names inside it settled, and whole numbers as such where only those are wanted."""
        if shape.item is not None and isinstance(value, (list, tuple)):
            return [self._item(shape.item, entry, f"{path}.{n}.", (*keys, n)) for n, entry in enumerate(value)]
        return _settle(shape.scalars, value)

    def _item(self, model: type[Section], entry: Any, prefix: str, keys: KeyPath) -> Any:
        if not isinstance(entry, Mapping):
            return entry
        return {
            name: self.value(shapes(model)[name], value, f"{prefix}{name}", (*keys, key))
            for key, name, value in self._named(model, entry, prefix, keys)
        }

    def _unknown(self, key: str, model: type[Section], prefix: str, keys: KeyPath) -> None:
        own = known_names(model.model_fields)
        if model is Profile:
            own |= {name: name for name in (["extends"] if len(keys) > 1 else ["extends", "profile"])}
        further = known_names({path: info for path, info in fields(model).items() if "." in path})
        names = {name.rpartition(".")[2]: path for name, path in further.items()} | own
        where = prefix[:-1] or ("a profile" if model is Profile else "config.yaml")
        otherwise = f"known keys: {', '.join(dict.fromkeys(own.values()))}"
        message, hint = unknown_key(key, names, where, otherwise)
        if not prefix and model is not Profile and key in (*spellings(Profile), "extends"):
            hint = "settings of the profile must be inside `profile:`"
        self.report("unknown-key", message, f"{prefix}{key}", keys, hint)

    def report(self, rule: str, message: str, path: str, keys: KeyPath, hint: str = "") -> None:
        position, line = self.locate(keys)
        self.findings.append(Finding(rule, message, path, position, hint=hint, line_text=line))


def _settle(kinds: Collection[type], value: Any) -> Any:
    """Paths as text; whole numbers as such where only those are wanted; secrets in a wrapper that never shows them."""
    if isinstance(value, os.PathLike) and str in kinds:
        return os.fspath(value)
    if isinstance(value, str) and SecretStr in kinds:
        return SecretStr(value)
    if isinstance(value, float) and value.is_integer() and int in kinds and float not in kinds:
        return int(value)
    return value


# --- shorthands -------------------------------------------------------------------------------------------------------

ACCELERATORS: Mapping[str, Mapping[str, bool]] = {
    "deepspeed": {"train.deepspeed.enabled": True, "train.fsdp.enabled": False},
    "fsdp": {"train.deepspeed.enabled": False, "train.fsdp.enabled": True},
}


def _expand(settings: dict[str, Setting]) -> dict[str, Setting]:
    """Let ``train.accelerator`` switch its section on and the other one off, unless the same source says otherwise."""
    chosen = settings.get("train.accelerator")
    if chosen is None or not isinstance(chosen.value, str) or chosen.value not in ACCELERATORS:
        return settings
    implied = {path: replace(chosen, value=value) for path, value in ACCELERATORS[chosen.value].items()}
    return {**implied, **{path: value for path, value in settings.items() if value is not chosen}}


def read_document(
    document: Document, kind: Kind, source: str, at: KeyPath = (), model: type[Section] = Profile, prefix: str = ""
) -> Layer:
    """The layer that (a part of) a file makes; its settings stand below ``prefix``, a dotted path with a point."""
    data: Any = document.data
    for key in at:
        data = data[key]

    def locate(keys: KeyPath) -> tuple[Position, str]:
        position = document.position(keys, key=True)
        return position, document.line(position.line)

    reader = _Reader(lambda keys, value: Setting(value, kind, source, document, keys), locate)
    reader.walk(model, data or {}, prefix, at)
    layer = Layer(_expand(reader.settings), tuple(reader.findings))
    root = Config if model is Config else Profile
    if path_settings(root).keys().isdisjoint(layer.settings) or in_catalogue(Path(document.source)):
        return layer
    return from_folder(layer, os.path.dirname(document.source), root)


def from_folder(layer: Layer, folder: str | os.PathLike[str], model: type[Section] = Profile) -> Layer:
    """A layer with every relative path in it made one from a folder; as it is if that is empty, or we work there."""
    if not folder or os.path.abspath(folder) == os.getcwd():
        return layer
    known = path_settings(model)
    changed = {
        path: replace(setting, value=anchored(known[path], setting.value, os.fspath(folder)))
        for path, setting in layer.settings.items()
        if path in known
    }
    return Layer({**layer.settings, **changed}, layer.findings)


def defaults_from(folder: str | os.PathLike[str], source: str, model: type[Section] = Profile) -> Layer:
    """The defaults that are paths, made paths from a folder, for the ``source`` that lies there."""
    given = {path: info.get_default() for path, info in fields(model).items() if is_path(info)}
    layer = Layer({path: Setting(value, "config", source) for path, value in given.items() if value})
    return from_folder(layer, folder, model)


def read_data(data: Mapping[str, Any], kind: Kind, name: Callable[[str], str], model: type[Section] = Profile) -> Layer:
    """The layer that values by dotted path make, as flags and variables give them; text is read as its field asks.

    Args:
        data: values by dotted path, in any accepted spelling.
        kind: the kind of source.
        name: gives the name of the source (a flag, a variable) for a dotted path.
        model: whose settings they are.
    """
    reader = _Reader(
        lambda keys, value: Setting(value, kind, name(str(keys[0]))),
        lambda keys: (Position(name(str(keys[0]))), ""),
    )
    for written, value in data.items():
        try:
            path, read = read_setting(written, value, model)
        except InputError as error:
            for item in error.findings:
                reader.report(item.rule, item.message, written, (written,), item.hint)
            continue
        if path in reader.settings:
            reader.report("duplicate-key", "is set twice, in two spellings", path, (written,))
        reader.settings[path] = reader.make(
            (written,), reader.value(shape_of(fields(model)[path]), read, path, (written,))
        )
    return Layer(_expand(reader.settings), tuple(reader.findings))
