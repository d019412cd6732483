"""Selections of GPUs, as people write them and as numbers: ``0-3``, ``0:3``, ``1,3``, ``-1`` for none."""

from __future__ import annotations

import re

from pydantic_core import PydanticCustomError

__all__ = ["GPU_TEXT", "MOST_GPU", "format_gpus", "parse_gpus"]

_GPU_RANGE = re.compile(r"([0-9]{1,4})(?:[-:]([0-9]{1,4}))?")
MOST_GPU = 9999
GPU_TEXT = "^(-1|[0-9]{1,4}([-:][0-9]{1,4})?( *, *[0-9]{1,4}([-:][0-9]{1,4})?)*)$"


def parse_gpus(value: object) -> tuple[int, ...] | None:
    """Read a selection of GPUs: ``0-4`` or ``0:4`` (both ends included), ``1,3``, ``2``, ``[0, 1]``, ``-1`` for none.

    Python may write none as ``()``, as it is given back.

    Returns:
        The device numbers in rising order; an empty tuple means "no GPU"; ``None`` stays ``None`` (not chosen).

    Raises:
        ValueError: if the text is none of these.
        PydanticCustomError: if a range runs backwards or a device is named twice (which no JSON Schema can say).
    """
    match value:
        case None:
            return None
        case tuple() if not value:
            return ()
        case str() if value != "-1":
            ids = _parse_gpu_text(value)
        case [_, *_]:
            ids = [_whole(item) for item in value]
        case _:
            number = -1 if value == "-1" else _whole(value)
            if number == -1:
                return ()
            ids = [number]
    if any(number < 0 for number in ids):
        raise ValueError("numbers of GPUs start at 0; -1 alone means no GPU")
    if any(number > MOST_GPU for number in ids):
        raise ValueError(f"numbers of GPUs end at {MOST_GPU}")
    if len(set(ids)) != len(ids):
        raise PydanticCustomError("gpu_selection", "a GPU is named twice")
    return tuple(sorted(ids))


def _whole(value: object) -> int:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value % 1 == 0:
        return int(value)
    raise ValueError("must be the number of a GPU, a range such as 0-3, or a list of numbers")


def _parse_gpu_text(text: str) -> list[int]:
    ids: list[int] = []
    for part in text.split(","):
        found = _GPU_RANGE.fullmatch(part.strip(" "))
        if not found:
            raise ValueError(f"must be 0-3, 0:3, 1,3 or -1 for none, not {text!r}")
        first, last = int(found[1]), int(found[2] or found[1])
        if last < first:
            raise PydanticCustomError("gpu_selection", "the range {range} runs backwards", {"range": part.strip(" ")})
        ids.extend(range(first, last + 1))
    return ids


def format_gpus(ids: tuple[int, ...] | None) -> str | int | None:
    """Write a selection the shortest way that :func:`parse_gpus` reads back: ``0-3``, ``1,3``, ``-1``."""
    if ids is None:
        return None
    if not ids:
        return -1
    runs: list[list[int]] = []
    for number in ids:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    text = ",".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)
    return int(text) if text.isdigit() else text
