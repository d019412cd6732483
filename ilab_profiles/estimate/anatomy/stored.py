"""How many parameters a model's files hold, read from the first bytes of each: shapes and names, no weights.

A file of the safetensors format begins with the length of its header, in eight bytes, and the header, which is JSON:
each tensor's name with its shape and type. Weights that are tied are stored once.
"""

from __future__ import annotations

import json
from math import prod
from pathlib import Path
from typing import Any

__all__ = ["parameters"]

_LONGEST = 100_000_000
"""What the format allows a header, in bytes."""
_BUFFERS = (".inv_freq", ".masked_bias", ".attn.bias", ".attention.bias")
"""Ends of the names of what older files hold beside weights: tables that the model can work out."""


def parameters(folder: Path) -> int | None:
    """Parameters in a folder's files of weights; ``None`` if it has none, or one that cannot be read.

    Args:
        folder: a model's folder.
    """
    files = _files(folder)
    headers = [_header(file) for file in files]
    if not files or any(header is None for header in headers):
        return None
    try:
        return sum(prod(map(int, tensor["shape"])) for header in headers if header for tensor in _weights(header))
    except (KeyError, TypeError, ValueError):
        return None


def _files(folder: Path) -> list[Path]:
    """The files of one copy of the weights: those that the index names, else the one file, else all."""
    try:
        index = json.loads((folder / "model.safetensors.index.json").read_text(encoding="utf-8"))
        return [folder / name for name in sorted(set(index["weight_map"].values()))]
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        one = folder / "model.safetensors"
        return [one] if one.is_file() else sorted(folder.glob("*.safetensors"))


def _header(file: Path) -> dict[str, Any] | None:
    try:
        with file.open("rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
            header = json.loads(opened.read(length)) if length <= _LONGEST else None
    except (OSError, ValueError, RecursionError):
        return None
    return header if isinstance(header, dict) else None


def _weights(header: dict[str, Any]) -> list[dict[str, Any]]:
    return [tensor for name, tensor in header.items() if name != "__metadata__" and not name.endswith(_BUFFERS)]
