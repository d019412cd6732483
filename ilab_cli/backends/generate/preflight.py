"""What can be known to be wrong before a teacher is asked: taxonomy, pipelines, addresses, recipes and folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ilab_cli.backends.base import output_folder
from ilab_cli.backends.client.addresses import base_urls
from ilab_cli.backends.client.journal import in_use
from ilab_cli.backends.generate import mixing
from ilab_cli.backends.generate.pipeline import load
from ilab_cli.backends.generate.qna import Leaf, read_taxonomy
from ilab_cli.backends.generate.run import JOURNAL
from ilab_profiles import Finding, Generate, InputError

__all__ = ["preflight"]


def preflight(generate: Generate) -> list[Finding]:
    """All that is wrong, warnings included. Never writes, and fetches no document."""
    findings: list[Finding] = []
    leaves: list[Leaf] = []
    try:
        leaves = read_taxonomy(Path(generate.taxonomy_path), generate.taxonomy_base)
        findings += _leaves(leaves, generate)
    except InputError as error:
        findings += error.findings
    findings += _pipelines(generate, {leaf.kind for leaf in leaves})
    try:
        base_urls(generate.model_endpoint_url, "generate.model_endpoint_url")
    except InputError as error:
        findings += error.findings
    folder = [*output_folder(generate.output_dir, "generate.output_dir"), *in_use(Path(generate.output_dir) / JOURNAL)]
    return [*findings, *mixing.preflight(generate), *folder]


def _leaves(leaves: list[Leaf], generate: Generate) -> Iterator[Finding]:
    if not leaves:
        message = f"no leaf of {generate.taxonomy_path} is new against {generate.taxonomy_base}"
        hint = "add a leaf, or take every leaf with --taxonomy-base empty"
        yield Finding("nothing-new", message, "generate.taxonomy_base", hint=hint)
    elif len(leaves) > generate.num_instructions:
        left_out = len(leaves) - generate.num_instructions
        message = f"{generate.num_instructions} pairs are too few for {len(leaves)} leaves: {left_out} get none"
        hint = f"set it to {len(leaves)} or more"
        yield Finding("fewer-pairs-than-leaves", message, "generate.num_instructions", hint=hint, severity="warning")


def _pipelines(generate: Generate, kinds: set[str]) -> list[Finding]:
    config = generate.config
    try:
        pipelines = load(config, generate.pipeline, generate)
    except InputError as error:
        return list(error.findings)
    return list(dict.fromkeys(finding for kind in sorted(kinds) for finding in pipelines[kind].warnings))
