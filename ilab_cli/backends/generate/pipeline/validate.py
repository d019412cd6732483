"""From the data of a pipeline file to models, or to a finding for each thing that is wrong, at its own place."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel

from ilab_cli.backends.generate.pipeline.block import Source
from ilab_profiles.problems import checked, unknown_key

__all__ = ["unknown_keys", "validated"]

M = TypeVar("M", bound=BaseModel)


def validated(model: type[M], data: Any, source: Source) -> M | None:
    """What stands at a source as a model; what is wrong with it is collected there, and left out."""
    found, findings = checked(model, data, source.document, source.at)
    source.findings += findings
    return found


def unknown_keys(source: Source, known: dict[str, str]) -> None:
    """Collect a finding about each key of a file that means nothing: an error where another may be meant."""
    for key in source.document.data:
        if key not in known.values():
            message, hint = unknown_key(str(key), known)
            if hint.startswith("did you mean"):
                source.find("unknown-key", message, key, key=True, hint=hint)
            else:
                source.find("unknown-key", f"{message}: it is ignored", key, key=True, hint=hint, severity="warning")
