"""One pipeline file: from YAML to steps, with every finding of it, of the files it imports and of the prompts it names.

What may stand in a block's ``config`` is told by the fields of its class.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from ilab_cli.backends.generate.pipeline import columns, filters, llm
from ilab_cli.backends.generate.pipeline.block import Block, Source
from ilab_cli.backends.generate.pipeline.flow import SEEDS, flow
from ilab_cli.backends.generate.pipeline.options import GenKwargs
from ilab_cli.backends.generate.pipeline.stream import Iter, Pipeline, Step
from ilab_cli.backends.generate.pipeline.validate import unknown_keys, validated
from ilab_profiles import Finding, InputError
from ilab_profiles.diagnostics import nearest
from ilab_profiles.models.generate import Generate
from ilab_profiles.yaml.document import KeyPath
from ilab_profiles.yaml.read import read

__all__ = ["read_pipeline"]

BLOCKS: Mapping[str, type[Block]] = {
    "LLMBlock": llm.LLM,
    "ConditionalLLMBlock": llm.ConditionalLLM,
    "LLMLogProbBlock": llm.LLMLogProb,
    "LLMMessagesBlock": llm.LLMMessages,
    "FilterByValueBlock": filters.FilterByValue,
    "CombineColumnsBlock": columns.CombineColumns,
    "DuplicateColumnsBlock": columns.DuplicateColumns,
    "FlattenColumnsBlock": columns.FlattenColumns,
    "RenameColumnsBlock": columns.RenameColumns,
    "SelectorBlock": columns.Selector,
    "SamplePopulatorBlock": columns.SamplePopulator,
    "SetToMajorityValueBlock": columns.SetToMajorityValue,
}
_TYPES = (*BLOCKS, "IterBlock", "ImportBlock")
_REPEATABLE = tuple(kind for kind in BLOCKS if kind != "SetToMajorityValueBlock")  # that one needs all rows at once
_TOP = {name: name for name in ("version", "blocks", "metadata", "datamixing")} | {"block_configs": "blocks"}

_Columns = Annotated[list[str], BeforeValidator(lambda value: value or [])]  # null and false are none, too


def _called_before_1_0(name: str) -> Any:
    """A key that had another name before version 1.0 of the format."""
    return Field(json_schema_extra={"x-mistaken": [name]})


class _Entry(BaseModel):
    """One item of ``blocks``; ``gen_kwargs`` may stand here or in ``config``."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: str = _called_before_1_0("block_name")
    type: str = _called_before_1_0("block_type")
    config: dict[str, Any] = _called_before_1_0("block_config")
    drop_columns: _Columns = Field(default_factory=list)
    drop_duplicates: _Columns = Field(default_factory=list)
    gen_kwargs: GenKwargs = GenKwargs()


class _Import(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str


class _Repeat(BaseModel):
    num_iters: int = Field(ge=1, le=10_000)
    block_type: str


def read_pipeline(path: Path, kind: str, settings: Generate) -> tuple[Pipeline, list[Finding]]:
    """Read a file as the pipeline for a kind of leaf, with all findings; errors among them say that it is of no use."""
    findings: list[Finding] = []
    steps, available = _steps(path, SEEDS[kind], settings, findings, ())
    if steps and available is not None and not {"question", "response"} <= available and "output" not in available:
        message = "the last block leaves neither question and response nor output"
        hint = f"columns there: {', '.join(sorted(available))}"
        Source(read(path), (), settings, findings).find("no-question", message, "blocks", key=True, hint=hint)
    found = list(dict.fromkeys(findings))
    return Pipeline(kind, str(path), tuple(steps), tuple(f for f in found if f.severity == "warning")), found


Columns = frozenset[str] | None  # None where a wrong block leaves it unknown which there are


def _steps(
    path: Path, available: Columns, settings: Generate, findings: list[Finding], trail: tuple[Path, ...]
) -> tuple[list[Step], Columns]:
    """The steps of a file and the columns after them; ``trail`` are the files that import it."""
    try:
        document = read(path)
    except InputError as error:
        findings.extend(error.findings)
        return [], None
    top = Source(document, (), settings, findings)
    _top(top)
    steps: list[Step] = []
    items = document.data.get("blocks")
    for index, item in enumerate(items if isinstance(items, list) else ()):
        source = top.below("blocks", index)
        entry = validated(_Entry, item, source)
        if entry and entry.type == "ImportBlock":
            more, available = _imported(entry, available, source, (*trail, path))
            steps += more
        elif entry and (step := _step(entry, source)):
            steps.append(step)
            available = flow(step, available, source)
        else:
            available = None
    return steps, available


def _imported(entry: _Entry, available: Columns, source: Source, trail: tuple[Path, ...]) -> tuple[list[Step], Columns]:
    """The steps of another pipeline file in place of a block."""
    config = source.below("config")
    wanted = validated(_Import, entry.config, config)
    path = config.file(wanted.path, "path") if wanted else None
    if path is None:
        return [], None
    if path.resolve() in {file.resolve() for file in trail}:
        hint = "a file cannot import itself, nor one that imports it"
        config.find("imports-itself", f"{path} is being read already", "path", hint=hint)
        return [], None
    steps, available = _steps(path, available, source.settings, source.findings, trail)
    if entry.drop_columns or entry.drop_duplicates:
        nothing = columns.DuplicateColumns(columns_map={}).called(entry.name)
        steps.append(Step(nothing, tuple(entry.drop_columns), tuple(entry.drop_duplicates)))
        available = flow(steps[-1], available, source)
    return steps, available


def _top(source: Source) -> None:
    unknown_keys(source, _TOP)
    data = source.document.data
    version = data.get("version")
    if version is None:
        source.find("wrong-version", "the file has no version", hint='the format is version: "1.0"')
    elif not re.fullmatch(r"1(\.\d+)?", str(version)):
        source.find("wrong-version", f"version {version} is not known", "version", hint='the format is version: "1.0"')
    elif str(version) not in ("1", "1.0"):
        message = f"version {version} is newer than 1.0; what it adds is not known here"
        source.find("newer-version", message, "version", severity="warning")
    if not isinstance(data.get("blocks"), list) or not data["blocks"]:
        hint = "write an item with name, type and config for each block"
        source.find("no-blocks", "blocks must be a list of blocks", "blocks", key=True, hint=hint)
    if "datamixing" in data:
        message = "auxiliary instructions do not become data of their own"
        source.find("not-used", message, "datamixing", key=True, severity="warning")


def _step(entry: _Entry, source: Source) -> Step | None:
    settings = dict(entry.config)
    given, own = entry.gen_kwargs.model_dump(exclude_unset=True), settings.get("gen_kwargs", {})
    if given and isinstance(own, dict):  # what is wrong with its own is found below
        settings["gen_kwargs"] = given | own
    config = source.below("config")
    if entry.type == "IterBlock":
        block = _iter(entry.name, settings, config)
    else:
        block = _block(entry.name, entry.type, settings, config, (*source.at, "type"), _TYPES)
    return Step(block, tuple(entry.drop_columns), tuple(entry.drop_duplicates)) if block else None


def _block(
    name: str, kind: str, config: dict[str, Any], source: Source, at: KeyPath, known: tuple[str, ...]
) -> Block | None:
    """The block of a type that stands ``at``, where those that are ``known`` may stand."""
    if kind not in known:
        near = None if kind in _TYPES else nearest(kind, known)
        hint = f"did you mean {near}?" if near else f"known types: {', '.join(known)}"
        message = f"{kind} cannot be repeated" if kind in _TYPES else f"unknown block type {kind}"
        source.find("unknown-block", message, hint=hint, position=source.document.position(at))
        return None
    block = validated(BLOCKS[kind], config, source)
    if block is not None:
        block.called(name).open(source)
    return block


def _iter(name: str, config: dict[str, Any], source: Source) -> Block | None:
    repeat = validated(_Repeat, config, source)
    rest = {key: value for key, value in config.items() if key not in _Repeat.model_fields}
    kind = config.get("block_type")
    at = (*source.at, "block_type")
    inner = _block(name, kind, rest, source, at, _REPEATABLE) if isinstance(kind, str) else None
    return Iter(num_iters=repeat.num_iters, block=inner).called(name) if repeat and inner else None
