"""JSON Schema (Draft 2020-12) of profile files and of ``config.yaml``, with every rule that a schema can say.

Types, bounds, defaults and descriptions come from the models, the rules from their table. A rule looks at the value in
force, which may come from the profile that a file extends: for the built-in profiles the schema knows these values; of
others it only judges what stands in the file itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from pydantic.json_schema import models_json_schema

from ilab_profiles import catalog
from ilab_profiles.catalog import SCHEMA_FILES, SchemaKind
from ilab_profiles.loading import inheritance
from ilab_profiles.loading.layers import ACCELERATORS
from ilab_profiles.loading.merge import merge
from ilab_profiles.models.config import Config
from ilab_profiles.models.evaluate import BENCHMARK_NAMES
from ilab_profiles.models.fields import Section, unset_of
from ilab_profiles.models.paths import fields, items_of, section_of, spellings
from ilab_profiles.models.profile import Profile
from ilab_profiles.rules.language import Condition, Rule
from ilab_profiles.rules.table import RULES

__all__ = ["DIALECT", "json_schema", "shipped", "write_files"]

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_NEVER: Schema = {"not": {}}
_PROFILE: Schema = {"$ref": "#/$defs/Profile"}


def json_schema(kind: SchemaKind = "profile") -> Schema:
    """The schema of a profile file (in any of its forms) or of ``config.yaml``.

    Returns:
        A fresh JSON-ready dictionary.
    """
    _, generated = models_json_schema([(Profile, "validation"), (Config, "validation")])
    definitions: Schema = generated["$defs"]
    for model in _sections(Profile) | _sections(Config):
        definitions[model.__name__] = _with_spellings(model, definitions[model.__name__])
    profile = definitions["Profile"]
    profile["properties"]["extends"] = {
        "type": ["string", "null"],
        "description": "Name or path of a profile to start from",
    }
    profile["allOf"] = [schema for rule in RULES if rule.severity == "error" for schema in _rule(rule)]
    chosen = {"description": definitions["Config"]["properties"]["profile"]["description"]}
    choice: Schema = {"if": {"type": "string"}, "else": _PROFILE, **chosen}
    definitions["Config"]["properties"]["profile"] = choice
    config: Schema = {"$ref": "#/$defs/Config"}
    body = config if kind == "config" else {"if": {"required": ["profile"]}, "then": config, "else": _PROFILE}
    title = {"profile": "ilab profile", "config": "ilab config.yaml"}[kind]
    return {"$schema": DIALECT, "title": title, "type": "object", **body, "$defs": definitions}


def shipped(kind: SchemaKind) -> Schema:
    """The schema as it ships with the library, for editors: that of ``config.yaml`` refers to the one beside it."""
    schema = json_schema(kind)
    if kind == "config":
        del schema["$defs"]
        schema["$ref"] = SCHEMA_FILES["profile"].name + schema["$ref"]
    return schema


def write_files() -> None:
    """Write the schemas that ship with the library: run ``python -m ilab_profiles.views.schema``."""
    for kind, path in SCHEMA_FILES.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(shipped(kind), indent=1) + "\n", encoding="utf-8")


@cache
def _sections(model: type[Section]) -> frozenset[type[Section]]:
    """A model and every section below it, those in lists included."""
    below: set[type[Section]] = {model}
    for info in model.model_fields.values():
        inner = section_of(info.annotation) or items_of(info.annotation)
        if inner:
            below |= _sections(inner)
    return frozenset(below)


def _with_spellings(model: type[Section], schema: Schema) -> Schema:
    """Let every key be written in each of its spellings, but in one of them only, and a section be left empty."""
    known = spellings(model)
    properties: Schema = {}
    for key, name in known.items():
        entry = schema["properties"][name]
        if section_of(model.model_fields[name].annotation):
            entry = {"if": {"type": "null"}, "else": entry, "description": entry.get("description", "")}
        properties[key] = entry if key == name else {**entry, "deprecated": False}
    groups = [[key for key, name in known.items() if name == field] for field in model.model_fields]
    pairs = [[a, b] for group in groups for n, a in enumerate(group) for b in group[n + 1 :]]
    doubled: Schema = {"not": {"anyOf": [{"required": pair} for pair in pairs]}} if pairs else {}
    return {**schema, "properties": properties, **doubled}


# --- rules ------------------------------------------------------------------------------------------------------------


def _rule(rule: Rule) -> Iterable[Schema]:
    """A rule as ``if``/``then``: once for a cause that stands in the file, once for one that does not."""
    cause, *others = rule.when or (~rule.require,)
    rest = [_holds(condition) for condition in (*others, *([~rule.require] if rule.when else []))]
    said = f"{rule.id}: {cause} needs {rule.require}: {rule.why}"
    # no setting is an object and no document null: what these refuse, editors explain with their errorMessage
    refused = {"if": _leaf(cause), "then": {"type": "object", "errorMessage": said}}
    yield {"$comment": rule.id, "if": {"allOf": [_given(cause.path), *rest]}, "then": _below(cause.path, refused)}
    if (implicit := _implicit(cause)) != _NEVER:
        absent = {"not": _given(cause.path)}
        never = {"type": "null", "errorMessage": said}
        yield {"$comment": rule.id, "if": {"allOf": [absent, implicit, *rest]}, "then": never}


def _holds(condition: Condition) -> Schema:
    """A document in which the condition surely holds for the value in force."""
    explicit = _at(condition.path, _leaf(condition))
    implicit = _implicit(condition)
    if implicit == _NEVER:
        return explicit
    return {"anyOf": [explicit, {"allOf": [{"not": _given(condition.path)}, implicit]}]}


def _implicit(condition: Condition) -> Schema:
    """Where the field is not given: a document in which the shorthand, the base or the default makes it hold."""
    path = condition.path
    implied = [name for name, values in ACCELERATORS.items() if path in values and condition.accepts(values[path])]
    ways: list[Schema] = []
    inherited = _bases(frozenset(name for name, base in _base_profiles().items() if condition.holds(base)))
    if any(path in values for values in ACCELERATORS.values()):
        if implied:
            ways.append(_at("train.accelerator", {"enum": implied}))
        shorthand = _at("train.accelerator", {"enum": list(ACCELERATORS)})
        inherited = {"allOf": [{"not": shorthand}, inherited]}
    if inherited not in (_NEVER, {"allOf": [inherited, _NEVER]}):
        ways.append(inherited)
    return {"anyOf": ways} if ways else _NEVER


@cache
def _base_profiles() -> Mapping[str, Profile]:
    """What a file may extend, as far as is known: nothing (the empty name), or a built-in profile."""
    built_in = {name: merge(inheritance.chain(str(path))).profile for name, path in catalog.built_in_files().items()}
    return {"": Profile(), **built_in}


@cache
def _bases(names: frozenset[str]) -> Schema:
    """A document that extends one of these; the empty name stands for "extends nothing"."""
    extends: Schema = {"type": "object", "required": ["extends"]}
    ways: list[Schema] = []
    if "" in names:
        ways.append({"not": {**extends, "properties": {"extends": {"type": "string"}}}})
    patterns = "|".join(re.escape(name).replace("_", "[-_]") for name in sorted(names) if name)
    if patterns:
        ways.append({**extends, "properties": {"extends": {"type": "string", "pattern": f"^({patterns})$"}}})
    return {"anyOf": ways} if ways else _NEVER


# --- places in a document, whatever the spelling ----------------------------------------------------------------------


def _keys(path: str) -> list[list[str]]:
    """The spellings of each part of a dotted path."""
    found: list[list[str]] = []
    model: type[Section] = Profile
    for part in path.split("."):
        found.append([key for key, name in spellings(model).items() if name == part])
        model = section_of(model.model_fields[part].annotation) or model
    return found


def _at(path: str, leaf: Schema) -> Schema:
    """A document that has a value at the path, and there one that fits."""
    schema = leaf
    for keys in reversed(_keys(path)):
        ways = [{"type": "object", "required": [key], "properties": {key: schema}} for key in keys]
        schema = ways[0] if len(ways) == 1 else {"anyOf": ways}
    return schema


def _given(path: str) -> Schema:
    return _at(path, {})


def _below(path: str, leaf: Schema) -> Schema:
    """A document whose value at the path, if it has one, fits."""
    schema = leaf
    for keys in reversed(_keys(path)):
        schema = {"properties": dict.fromkeys(keys, schema)}
    return schema


def _leaf(condition: Condition) -> Schema:
    """The raw values that fulfil a condition."""
    info = fields()[condition.path]
    match condition.op:
        case "set":
            schema: Schema = {"not": {"anyOf": [{"enum": [None, "", []]}, *filter(None, [unset_of(info)])]}}
        case "in":
            schema = {"enum": [raw for value in condition.operand for raw in ([-1, "-1"] if value == () else [value])]}
        case "has":
            names = sorted({key for key, name in BENCHMARK_NAMES.items() if name == condition.operand})
            word = rf"(^|[\s,])({'|'.join(names)})($|[\s,])"
            schema = {"anyOf": [{"type": "array", "contains": {"enum": names}}, {"type": "string", "pattern": word}]}
        case "matches":
            schema = {"type": "string", "pattern": condition.operand}
        case ">=":
            schema = {"type": "number", "minimum": condition.operand}
        case _:
            schema = {"type": "number", "maximum": condition.operand}
    return {"not": schema} if condition.negated else schema


if __name__ == "__main__":
    write_files()
