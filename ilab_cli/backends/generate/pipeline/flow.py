"""Which columns there are at each block: those of the seeds, and what the blocks before it made of them.

So a misspelt column, in a pipeline or in a prompt, is a finding before anything is asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from operator import getitem
from typing import Any

from ilab_cli.backends.generate.pipeline.block import ROW_KEY, Source
from ilab_cli.backends.generate.pipeline.stream import Step
from ilab_profiles import Finding
from ilab_profiles.diagnostics import Position, nearest

__all__ = ["SEEDS", "flow"]

_ALWAYS = {"leaf", "kind", "leaf_node_path", "leaf_node_type", "task_description"}
_SKILL = {*_ALWAYS, "seed_question", "seed_response"}
SEEDS: Mapping[str, frozenset[str]] = {
    "knowledge": frozenset(
        {*_ALWAYS, "domain", "document_outline", "document", "document_name", "icl_document"}
        | {f"icl_{part}_{number}" for part in ("query", "response") for number in (1, 2, 3)}
    ),
    "grounded": frozenset({*_SKILL, "seed_context"}),
    "freeform": frozenset(_SKILL),
}
"""The columns of the rows that each kind of leaf starts with."""


def flow(step: Step, available: frozenset[str] | None, source: Source) -> frozenset[str] | None:
    """The columns after a step; what it uses without its being there is a finding. ``None`` is not known."""
    if available is None:
        return None
    config = source.below("config")
    for column, position in step.block.reads():
        if column not in available:
            position = position or _named(config, column)
            message = f"unknown column {column} at block {step.block.name}"
            hint = _instead(column, available)
            source.findings.append(Finding("unknown-column", message, position=position, hint=hint))
    after = step.block.after(available)
    if after is None:
        return None
    if ROW_KEY in after - available:
        hint = "it identifies each row; choose another name"
        config.find("kept-column", f"block {step.block.name} makes a column {ROW_KEY}", hint=hint)
    for index, column in enumerate(step.drop_duplicates):
        if column not in after:
            message, hint = f"unknown column {column} to compare", _instead(column, after)
            source.find("unknown-column", message, "drop_duplicates", index, hint=hint)
    return after - set(step.drop_columns)


def _instead(column: str, columns: frozenset[str]) -> str:
    near = nearest(column, columns)
    return f"did you mean {near}?" if near else f"columns here: {', '.join(sorted(columns))}"


def _named(source: Source, column: str) -> Position:
    """Where a config names a column, as a key or as a value."""
    document, depth = source.document, len(source.at)
    data: Any = document.data
    keys = {at: place for at, place in document.keys.items() if at[-1] == column}
    values = {at: place for at, place in document.values.items() if reduce(getitem, at, data) == column}
    places = [place for at, place in (*keys.items(), *values.items()) if at[:depth] == source.at]
    return Position(document.source, *min(places)) if places else document.position(source.at)
