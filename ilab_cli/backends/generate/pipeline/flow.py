"""Which columns there are at each block: those of the seeds, and what the blocks before it made of them.

So a misspelt column, in a pipeline or in a prompt, is a finding before anything is asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ilab_cli.backends.generate.pipeline.block import ROW_KEY, Source
from ilab_cli.backends.generate.pipeline.stream import Step
from ilab_profiles import Finding
from ilab_profiles.diagnostics import Position, nearest
from ilab_profiles.document import KeyPath

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
            message = f"there is no column {column} at block {step.block.name}"
            hint = _instead(column, available)
            source.findings.append(Finding("unknown-column", message, position=position, hint=hint))
    after = step.block.after(available)
    if after is None:
        return None
    if ROW_KEY in after - available:
        hint = "each row is told from the others by it; choose another name"
        config.find("kept-column", f"block {step.block.name} makes a column {ROW_KEY}", hint=hint)
    for index, column in enumerate(step.drop_duplicates):
        if column not in after:
            message, hint = f"there is no column {column} to compare", _instead(column, after)
            source.find("unknown-column", message, "drop_duplicates", index, hint=hint)
    return after - set(step.drop_columns)


def _instead(column: str, columns: frozenset[str]) -> str:
    near = nearest(column, columns)
    return f"did you mean {near}?" if near else f"columns here: {', '.join(sorted(columns))}"


def _named(source: Source, column: str) -> Position:
    """Where a config names a column, as a key or as a value."""
    value: Any = source.document.data
    for key in source.at:
        value = value[key]
    for at, is_key in _leaves(value, ()):
        text = at[-1] if is_key else _at(value, at)
        if text == column:
            return source.document.position((*source.at, *at), key=is_key)
    return source.document.position(source.at)


def _leaves(value: Any, at: KeyPath) -> Iterator[tuple[KeyPath, bool]]:
    if isinstance(value, dict):
        for key, below in value.items():
            yield (*at, key), True
            yield from _leaves(below, (*at, key))
    elif isinstance(value, list):
        for index, below in enumerate(value):
            yield from _leaves(below, (*at, index))
    else:
        yield at, False


def _at(value: Any, at: KeyPath) -> Any:
    for key in at:
        value = value[key]
    return value
