"""The pipelines of a run: which file serves which kind of leaf."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

import ilab_cli
from ilab_cli.backends.generate.pipeline.families import family_of
from ilab_cli.backends.generate.pipeline.read import read_pipeline
from ilab_cli.backends.generate.pipeline.stream import Pipeline
from ilab_profiles import Finding, InputError
from ilab_profiles.diagnostics import Position, nearest
from ilab_profiles.models.generate import Generate

__all__ = ["FILES", "load"]

FILES: Mapping[str, str] = {"knowledge": "knowledge", "grounded": "grounded_skills", "freeform": "freeform_skills"}
"""The name of the pipeline file for each kind of leaf, without its ending."""


def load(config: str | None, builtin: Literal["simple", "full"], settings: Generate) -> dict[str, Pipeline]:
    """Read the pipelines of a run.

    Args:
        config: a pipeline file, or a folder with ``knowledge.yaml``, ``grounded_skills.yaml`` and
            ``freeform_skills.yaml``. A file of another name is for the kinds of leaves that have the columns it needs.
        builtin: the pipelines for the kinds that ``config`` has none for.
        settings: decides how many answers and questions are asked for, and in which form.

    Returns:
        Pipelines by kind: ``knowledge``, ``grounded``, ``freeform``.

    Raises:
        InputError: with every finding of every file.
    """
    findings: list[Finding] = []
    try:
        family_of(settings.model_family)
    except InputError as error:
        findings.extend(error.findings)
    chosen = {kind: Path(ilab_cli.__path__[0], "pipelines", builtin, f"{name}.yaml") for kind, name in FILES.items()}
    pipelines: dict[str, Pipeline] = {}
    path = Path(config or "")
    if config is not None and not path.exists():
        message, hint = f"file or folder not found: {path}", "built-in pipelines are chosen by generate.pipeline"
        findings.append(Finding("missing-file", message, "generate.config", hint=hint))
    elif config is not None and path.is_dir():
        chosen |= _in_folder(path, findings)
    elif config is not None:
        own = {kind: path for kind, name in FILES.items() if name == path.stem}
        if own:
            chosen |= own
        else:
            pipelines = _fitting(path, settings, findings)
    for kind, path in chosen.items():
        if kind not in pipelines:
            pipeline, found = read_pipeline(path, kind, settings)
            findings.extend(finding for finding in found if finding not in findings and finding.severity == "error")
            pipelines[kind] = pipeline
    if any(finding.severity == "error" for finding in findings):
        raise InputError(findings)
    return {kind: pipelines[kind] for kind in FILES}


def _in_folder(folder: Path, findings: list[Finding]) -> dict[str, Path]:
    found = {kind: path for kind, name in FILES.items() for path in _yaml(folder, name)}
    names = [f"{name}.yaml" for name in FILES.values()]
    for path in sorted(folder.glob("*.y*ml")):
        near = nearest(path.name, names, 0.85)
        if path not in found.values() and near:
            message, hint = "is no name of a pipeline file; it is not used", f"did you mean {near}?"
            findings.append(Finding("unknown-pipeline-file", message, position=Position(str(path)), hint=hint))
    if not found:
        message, hint = "the folder has no pipeline file", f"it should hold one of {', '.join(names)}"
        position = Position(str(folder))
        findings.append(Finding("no-pipeline-file", message, "generate.config", position, hint=hint))
    return found


def _yaml(folder: Path, name: str) -> Iterator[Path]:
    for ending in ("yml", "yaml"):
        if (path := folder / f"{name}.{ending}").is_file():
            yield path


def _fitting(path: Path, settings: Generate, findings: list[Finding]) -> dict[str, Pipeline]:
    """The pipeline for each kind of leaf that it fits; where it fits none, the findings of the nearest kind."""
    tried = {kind: read_pipeline(path, kind, settings) for kind in FILES}
    errors = {kind: [one for one in found if one.severity == "error"] for kind, (_, found) in tried.items()}
    fitting = {kind: pipeline for kind, (pipeline, _) in tried.items() if not errors[kind]}
    if not fitting:
        findings.extend(sorted(errors.values(), key=len)[0])
        return {kind: pipeline for kind, (pipeline, _) in tried.items()}
    return fitting
