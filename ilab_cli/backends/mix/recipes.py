"""Recipes: YAML files that say which data sets are mixed, and how much of each.

::

    datasets:
      - path: node/knowledge.jsonl    # relative to the recipe, and never outside its folder
        sampling_size: 0.5            # a ratio; 100 would be a count of rows
    sys_prompt: You are helpful.      # optional; also accepted inside `metadata`, where the older ilab writes it

A ratio has a decimal point or an exponent, a count has none: ``1.0`` is the whole data set, ``1`` a single row. More
than the data set holds repeats it. What the data sets hold is the business of :mod:`ilab_cli.backends.mix.rows`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from ilab_profiles import Finding, InputError, Mix, Position
from ilab_profiles.diagnostics import meant
from ilab_profiles.yaml.document import Document, KeyPath
from ilab_profiles.yaml.read import read

__all__ = ["KINDS", "DataSet", "Kind", "read_recipes"]

Kind = Literal["knowledge", "skills"]
KINDS: dict[Kind, str] = {"knowledge": "knowledge_recipes", "skills": "skill_recipes"}
"""The kinds of data that are mixed apart, and the setting that names the recipes of each."""

_EXAMPLE = "write `datasets: [{path: data.jsonl, sampling_size: 1.0}]`"
_KEYS = ("datasets", "sys_prompt", "metadata")
_DATA_SET_KEYS = ("path", "sampling_size")


@dataclass(frozen=True, slots=True)
class DataSet:
    """One data set of a recipe.

    Args:
        kind: the output that it goes into.
        number: number of the recipe among those of its kind, and of the data set in the recipe, from 0.
        recipe: the recipe's file.
        path: the data set's path as the recipe writes it.
        file: where it is.
        sampling_size: a ratio of its rows if it is a float, a count of rows if it is an int.
        system_prompt: system message for each of its rows, in place of their own; ``None`` leaves them as they are.
        position: where the recipe names it.
    """

    kind: Kind
    number: tuple[int, int]
    recipe: Path
    path: str
    file: Path
    sampling_size: int | float
    system_prompt: str | None
    position: Position

    @property
    def setting(self) -> str:
        """The setting that led to it."""
        return _setting(self.kind)


def read_recipes(mix: Mix, to_be_made: Collection[str] = ()) -> tuple[list[DataSet], list[Finding]]:
    """Every data set of every recipe, in order.

    Args:
        mix: the settings.
        to_be_made: recipes and data sets, by their real paths, that are not there yet: they are left out.

    Returns:
        the sound ones, and findings: warnings, and all that is wrong with the recipes, or that there is none.
    """
    data_sets: list[DataSet] = []
    findings: list[Finding] = []
    for kind, setting in KINDS.items():
        for number, file in enumerate(map(Path, getattr(mix, setting))):
            for item in () if os.path.realpath(file) in to_be_made else _recipe(file, kind, number):
                if isinstance(item, Finding):
                    findings.append(item)
                else:
                    data_sets.append(item)
    if not data_sets and not findings and not to_be_made:
        findings.append(
            Finding(
                "mixing-needs-a-recipe",
                "nothing to mix: the profile names no recipe",
                _setting("knowledge"),
                hint="name one with --knowledge-recipes or --skill-recipes; `ilab data generate` writes them",
            )
        )
    findings += _repeated(data_sets)
    return [data_set for data_set in data_sets if os.path.realpath(data_set.file) not in to_be_made], findings


def _setting(kind: Kind) -> str:
    return f"generate.mix.{KINDS[kind]}"


def _recipe(file: Path, kind: Kind, number: int) -> Iterator[DataSet | Finding]:
    try:
        document = read(file)
    except InputError as error:
        yield from (replace(finding, path=_setting(kind)) for finding in error.findings)
        return
    findings = [*_unknown(document, (), _KEYS), *_prompt_findings(document)]
    yield from findings
    items = document.data.get("datasets")
    if not isinstance(items, list) or not items:
        yield _finding(document, ("datasets",), "`datasets` must be a list of data sets, at least one", _EXAMPLE)
        return
    prompt = None if findings else _system_prompt(document.data)
    for index, item in enumerate(items):
        problems = [*_data_set_findings(document, index, item)]
        yield from problems
        if not any(problem.severity == "error" for problem in problems):
            found = file.parent / item["path"]
            place = document.position(("datasets", index, "path"))
            yield DataSet(kind, (number, index), file, item["path"], found, item["sampling_size"], prompt, place)


def _data_set_findings(document: Document, index: int, item: Any) -> Iterator[Finding]:
    where: KeyPath = ("datasets", index)
    if not isinstance(item, dict):
        yield _finding(document, where, "a data set must be a section with `path` and `sampling_size`", _EXAMPLE)
        return
    unknown = list(_unknown(document, where, _DATA_SET_KEYS))
    yield from unknown
    missing = [key for key in _DATA_SET_KEYS if key not in item]
    if missing and not unknown:
        yield _finding(document, where, f"`{'` and `'.join(missing)}` missing", "1.0 takes all of a data set")
    if "path" in item:
        yield from _path_findings(document, (*where, "path"), item["path"])
    if "sampling_size" in item:
        yield from _size_findings(document, (*where, "sampling_size"), item["sampling_size"])


def _path_findings(document: Document, where: KeyPath, path: Any) -> Iterator[Finding]:
    if not isinstance(path, str) or not path.strip() or "\0" in path:
        yield _finding(document, where, "`path` must be the path of a JSONL file")
        return
    folder = Path(document.source).parent.resolve()
    try:
        inside = (folder / path).resolve().is_relative_to(folder)
    except (OSError, RuntimeError) as error:  # a loop of symbolic links
        yield _finding(document, where, f"{path}: {error}")
        return
    if not inside:
        hint = "put the recipe into a folder that holds its data, and name it there; several recipes can be named"
        yield _finding(document, where, f"{path} leads outside the folder of the recipe", hint, rule="path-outside")


def _size_findings(document: Document, where: KeyPath, size: Any) -> Iterator[Finding]:
    number = isinstance(size, int | float) and not isinstance(size, bool)
    if not number or not math.isfinite(size) or size <= 0:
        hint = "for example 1.0 for all rows, 0.5 for half of them, 3.0 for all of them three times, 100 for 100 rows"
        yield _finding(document, where, "`sampling_size` must be a ratio or a count above 0", hint)
    elif isinstance(size, int) and size == 1:
        message = "`sampling_size: 1` takes a single row"
        yield replace(_finding(document, where, message, "write 1.0 for all rows"), severity="warning")


def _prompt_findings(document: Document) -> Iterator[Finding]:
    metadata = document.data.get("metadata")
    if metadata is not None and not isinstance(metadata, dict):
        yield _finding(document, ("metadata",), "`metadata` must be a section")
        metadata = None
    for where, holder in ((("sys_prompt",), document.data), (("metadata", "sys_prompt"), metadata or {})):
        if not isinstance(holder.get("sys_prompt"), str | None):
            yield _finding(document, where, "`sys_prompt` must be text")


def _system_prompt(data: dict[str, Any]) -> str | None:
    return data.get("sys_prompt") or (data.get("metadata") or {}).get("sys_prompt") or None


def _unknown(document: Document, where: KeyPath, known: Sequence[str]) -> Iterator[Finding]:
    holder: Any = document.data
    for key in where:
        holder = holder[key]
    for key in holder:
        if key not in known:
            hint = meant(str(key), {name: name for name in known})
            finding = _finding(document, (*where, key), f"unknown key `{key}`", hint, rule="unknown-key")
            yield replace(finding, position=document.position((*where, key), key=True))


def _finding(document: Document, where: KeyPath, message: str, hint: str = "", rule: str = "recipe") -> Finding:
    position = document.position(where)
    return Finding(rule, message, position=position, hint=hint, line_text=document.line(position.line))


def _repeated(data_sets: Sequence[DataSet]) -> Iterator[Finding]:
    """Warnings of data sets that are named more than once: their rows are trained on as often."""
    first: dict[Path, DataSet] = {}
    for data_set in data_sets:
        earlier = first.setdefault(data_set.file.resolve(), data_set)
        if earlier is not data_set:
            message = f"{data_set.path} is mixed in by {earlier.position} already"
            yield Finding(
                "data-set-repeated",
                message,
                position=data_set.position,
                hint="to repeat a data set on purpose, raise its sampling_size",
                severity="warning",
            )
