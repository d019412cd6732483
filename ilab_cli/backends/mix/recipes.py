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

import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ilab_profiles import Finding, InputError, Mix, Position
from ilab_profiles.diagnostics import by_place
from ilab_profiles.problems import checked
from ilab_profiles.yaml.document import Document, KeyPath
from ilab_profiles.yaml.read import read

__all__ = ["KINDS", "DataSet", "Kind", "read_recipes"]

Kind = Literal["knowledge", "skills"]
KINDS: dict[Kind, str] = {"knowledge": "knowledge_recipes", "skills": "skill_recipes"}
"""The kinds of data that are mixed apart, and the setting that names the recipes of each."""


_SIZES = "1.0 stands for all rows, 0.5 for half of them, 3.0 for all of them three times, 100 for 100 rows"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class _Item(_Part):
    """One of ``datasets``."""

    path: str = Field(min_length=1)
    sampling_size: int | Annotated[float, Field(allow_inf_nan=False)] = Field(gt=0, description=_SIZES)


class _Metadata(BaseModel):
    """What the older ilab writes beside; only the prompt is of use."""

    model_config = ConfigDict(strict=True, hide_input_in_errors=True)

    sys_prompt: str | None = None


class _Recipe(_Part):
    """A recipe, whose data sets are looked at one by one."""

    datasets: list[Any] = Field(min_length=1)
    sys_prompt: str | None = None
    metadata: _Metadata | None = None

    @property
    def system_prompt(self) -> str | None:
        return self.sys_prompt or (self.metadata.sys_prompt if self.metadata else None) or None


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
            if os.path.realpath(file) not in to_be_made:
                sound, wrong = _recipe(file, kind, number)
                data_sets += sound
                findings += sorted(wrong, key=by_place)
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


def _recipe(file: Path, kind: Kind, number: int) -> tuple[list[DataSet], list[Finding]]:
    try:
        document = read(file)
    except InputError as error:
        return [], [replace(finding, path=_setting(kind)) for finding in error.findings]
    recipe, findings = checked(_Recipe, document.data, document)
    data_sets = []
    for index, given in enumerate(recipe.datasets if recipe else ()):
        at: KeyPath = ("datasets", index)
        item, wrong = checked(_Item, given, document, at)
        wrong += _doubts(given, document, at) if isinstance(given, dict) else ()
        findings += wrong
        if recipe and item and all(finding.severity == "warning" for finding in wrong):
            found, place = file.parent / item.path, document.position((*at, "path"))
            size, prompt = item.sampling_size, recipe.system_prompt
            data_sets.append(DataSet(kind, (number, index), file, item.path, found, size, prompt, place))
    return data_sets, findings


def _doubts(item: dict[str, Any], document: Document, at: KeyPath) -> Iterator[Finding]:
    """What is wrong with a data set whose form is right."""
    path, size = item.get("path"), item.get("sampling_size")
    folder = Path(document.source).parent.resolve()
    try:
        if isinstance(path, str) and not (folder / path).resolve().is_relative_to(folder):
            hint = "put the recipe into a folder that holds its data, and name it there; several recipes can be named"
            message = f"{path} leads outside the folder of the recipe"
            yield document.finding("path-outside", message, (*at, "path"), hint)
    except (OSError, RuntimeError, ValueError) as error:  # a loop of symbolic links, a name that no file can have
        yield document.finding("bad-value", f"{path!r}: {error}", (*at, "path"))
    if type(size) is int and size == 1:
        message, where = "1 takes a single row", (*at, "sampling_size")
        yield document.finding("single-row", message, where, "write 1.0 for all rows", severity="warning")


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
