"""The files of weights in a model's or checkpoint's folder: which of them are missing, and which are cut short.

Names and sizes tell, and the first and last bytes; no weights are read. What a model's folder must hold besides is not
told here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from zipfile import is_zipfile

__all__ = ["broken", "lacking"]


def lacking(folder: Path) -> list[str]:
    """What a folder lacks of its weights, in words: files that an index names, and the rest of those cut short."""
    return [*(f"a whole {name}" for name in broken(folder)), *sorted(set(_missing_shards(folder)))]


def broken(folder: Path) -> list[str]:
    """Names of the files of weights, and of an optimizer's state, that are cut short."""
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError:
        return []  # without the extra nothing is loaded, which is told elsewhere
    found = [str(file.relative_to(folder)) for file in folder.glob("*/state.pt") if not is_zipfile(file)]
    for file in folder.glob("*.safetensors"):
        try:
            with safe_open(file, "np"):
                pass
        except (OSError, SafetensorError):
            found.append(file.name)
    return sorted(found)


def _missing_shards(folder: Path) -> Iterator[str]:
    for index in folder.glob("*.index.json"):
        try:
            names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
            yield from (name for name in names if not (folder / name).is_file())
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            yield f"a readable {index.name}"
