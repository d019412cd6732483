"""Random profile documents for the tests: sound ones, and ones changed where it hurts, aimed at the rules above all."""

from __future__ import annotations

import random
import types
import typing
from typing import Annotated, Any, Literal, Union

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from ilab_profiles.catalog import built_in_files
from ilab_profiles.models.paths import fields, items_of, section_of, spellings
from ilab_profiles.models.profile import Profile
from ilab_profiles.rules.table import RULES

__all__ = ["document"]

ODD_VALUES: list[Any] = [None, True, False, 0, -1, 1, 2.0, 2.5, 1e-5, 10**6, "", "x", "nf4", "12", "true", "null"]
ODD_VALUES += [[], {}, [1], ["a"], ["a", 1], {"a": 1}, "-1", "0-1", "3-1", "1,1", [0, 0], [0, 1], ",", "cpu", " mt"]
ODD_VALUES += ["mmlu, mt"]


def document(seed: int) -> dict[str, Any]:
    """A document; the same seed gives the same one. A third are sound in every single value."""
    rng = random.Random(seed)
    data = _sound(rng)
    for _ in range(rng.choice([0, 1, 2, 3])):
        rng.choice([_aim, _aim, _odd, _rename, _double, _empty])(rng, data)
    return {"profile": data} if rng.random() < 0.1 else data


def _sound(rng: random.Random) -> dict[str, Any]:
    data: dict[str, Any] = {}
    if rng.random() < 0.5:
        name = rng.choice([*built_in_files(), "multi-gpu/l40s-x4", "single-gpu"])
        data["extends"] = rng.choice([name, name, name.replace("_", "-"), None])
    for path in rng.sample(list(fields()), rng.randint(0, 8)):
        _put(rng, data, path, _value(rng, fields()[path]))
    return data


def _value(rng: random.Random, info: FieldInfo) -> Any:
    """A value of the right type, usually within bounds."""
    bounds = {type(item).__name__: getattr(item, type(item).__name__.lower(), None) for item in info.metadata}
    kinds = list(_kinds(info.annotation))
    kind = rng.choice(kinds)
    if isinstance(kind, list):
        return rng.choice(kind)
    low = bounds.get("Ge", bounds.get("Gt", 0)) or 0
    if kind is int:
        return rng.choice([low, low + 1, 64, 4096, float(low + 2)])
    if kind is float:
        return rng.choice([low + 0.5, 1e-4 + low, 1])
    if kind is bool:
        return rng.random() < 0.5
    if kind is tuple:
        if item := items_of(info.annotation):
            return [{name: _value(rng, inner) for name, inner in rng.sample(list(item.model_fields.items()), 2)}]
        if "gpus" in str(info.description).lower():
            return rng.choice([0, "0-3", "0:1", [0, 1], -1, "-1", None, "1,3"])
        return rng.choice([["a"], "a,b", ["mmlu"], "mt", [], "mt_bench", "mmlu-branch", "mt_bench_branch"])
    return None if kind is type(None) else rng.choice(["x", "a/b", "127.0.0.1:8000", "https://host.example/v1"])


def _kinds(annotation: Any) -> typing.Iterator[Any]:
    origin = typing.get_origin(annotation)
    if origin is Annotated:
        yield from _kinds(typing.get_args(annotation)[0])
    elif origin in (Union, types.UnionType):
        for part in typing.get_args(annotation):
            yield from _kinds(part)
    elif origin is Literal:
        yield list(typing.get_args(annotation))
    elif origin is tuple:
        yield tuple
    else:
        yield str if annotation is SecretStr else annotation


def _put(rng: random.Random, data: dict[str, Any], path: str, value: Any) -> None:
    """Set a value, each part of the path in one of its spellings, the one that is there already if there is one."""
    model: Any = Profile
    here = data
    *above, last = path.split(".")
    for part in above:
        key = _spelling(rng, model, part, here)
        model = section_of(model.model_fields[part].annotation)
        if not isinstance(here.get(key), dict):
            here[key] = {}
        here = here[key]
    here[_spelling(rng, model, last, here)] = value


def _spelling(rng: random.Random, model: Any, name: str, here: dict[str, Any]) -> str:
    keys = [key for key, field in spellings(model).items() if field == name]
    there = [key for key in keys if key in here]
    return there[0] if there else rng.choice([name, rng.choice(keys)])


def _aim(rng: random.Random, data: dict[str, Any]) -> None:
    """Give the fields of one rule values that its conditions speak of, or others close by."""
    rule = rng.choice(RULES)
    for condition in (*rule.when, rule.require):
        if rng.random() < 0.8:
            operand = condition.operand
            near = list(operand) if isinstance(operand, tuple) else [operand]
            value = rng.choice([*near, _value(rng, fields()[condition.path])])
            _put(rng, data, condition.path, -1 if value == () else value)
    if rng.random() < 0.15:
        _put(rng, data, "train.accelerator", rng.choice(["deepspeed", "fsdp", None, "x"]))


def _odd(rng: random.Random, data: dict[str, Any]) -> None:
    _put(rng, data, rng.choice(list(fields())), rng.choice(ODD_VALUES))


def _sections(data: dict[str, Any]) -> list[dict[str, Any]]:
    return [data, *(inner for value in data.values() if isinstance(value, dict) for inner in _sections(value))]


def _rename(rng: random.Random, data: dict[str, Any]) -> None:
    section = rng.choice(_sections(data))
    if section:
        key = rng.choice(list(section))
        section[rng.choice([f"{key}x", key.replace("_", "-"), key.upper(), "zero_stage"])] = section.pop(key)


def _double(rng: random.Random, data: dict[str, Any]) -> None:
    section = rng.choice(_sections(data))
    if section:
        key = rng.choice(list(section))
        section.setdefault(key.replace("_", "-"), section[key])


def _empty(rng: random.Random, data: dict[str, Any]) -> None:
    data[rng.choice(["train", "evaluate", "generate", "hardware"])] = rng.choice([None, None, {}, [], "x", 3])
