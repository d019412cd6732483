"""Pipelines: what is asked of the teacher for a row, and what becomes of its answers.

A pipeline is a YAML file of blocks, in the format of the older ilab; :func:`load` reads it, and every wrong line of it
and of its prompts is a finding. A row goes through the blocks on its own, so nothing here knows how many rows there
are, how requests are sent, or what is written.
"""

from __future__ import annotations

from ilab_cli.backends.generate.pipeline.block import Ask, Rejected, Row
from ilab_cli.backends.generate.pipeline.load import load
from ilab_cli.backends.generate.pipeline.stream import Pipeline

__all__ = ["Ask", "Pipeline", "Rejected", "Row", "load"]
