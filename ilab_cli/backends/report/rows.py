"""Values from files that nobody vouches for: torn JSON lines, numbers that are none, endless texts."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ilab_cli.backends.jsonl import not_json
from ilab_profiles import Finding, Position
from ilab_profiles.diagnostics import masked

__all__ = ["mapping", "number", "object_in", "rows_of", "sequence", "short", "tail", "text"]

_LONGEST = 4000
"""Most characters of a text that are shown; of a longer one, the beginning and the end."""


def rows_of(file: Path, findings: list[Finding]) -> Iterator[dict[str, Any]]:
    """The objects in a file of JSON lines, one after another; what is not JSON is left out, ``NaN`` is ``None``.

    Args:
        file: the file; one that is not there has no rows.
        findings: gets one warning for the file if lines were left out, or if it cannot be read.
    """
    left_out, first = 0, None
    try:
        with file.open("rb") as lines:
            for at, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                try:
                    row = json.loads(line, parse_constant=lambda _: None)
                    if not isinstance(row, dict):
                        raise json.JSONDecodeError("no object", "", 0)
                except (ValueError, RecursionError) as error:
                    left_out += 1
                    first = first or not_json(error, Position(str(file), at))
                    continue
                yield row
    except FileNotFoundError:
        return
    except OSError as error:
        findings.append(_warning(f"left out: it cannot be read: {error.strerror}", Position(str(file))))
    if first:
        lines_left = f"{left_out:,} lines were left out, the first" if left_out > 1 else "a line was left out"
        findings.append(_warning(f"{lines_left}: {first[0]}", first[1]))


def object_in(file: Path, findings: list[Finding]) -> dict[str, Any]:
    """The object in a JSON file; an empty one, and a warning, if there is none that can be read."""
    try:
        found = json.loads(file.read_bytes(), parse_constant=lambda _: None)
    except FileNotFoundError:
        return {}
    except OSError as error:
        findings.append(_warning(f"left out: it cannot be read: {error.strerror}", Position(str(file))))
        return {}
    except (ValueError, RecursionError) as error:
        message, place = not_json(error, Position(str(file), getattr(error, "lineno", 1)))
        findings.append(_warning(f"left out: {message}", place))
        return {}
    if not isinstance(found, dict):
        findings.append(_warning("left out: it holds no object", Position(str(file))))
        return {}
    return found


def _warning(message: str, position: Position) -> Finding:
    return Finding("damaged-file", message, position=position, severity="warning")


def mapping(value: object) -> Mapping[str, Any]:
    """A value that should be an object; an empty one if it is none."""
    return value if isinstance(value, dict) else {}


def sequence(value: object) -> list[Any]:
    """A value that should be a list; an empty one if it is none."""
    return value if isinstance(value, list) else []


def number(value: object, digits: int = 6) -> float | None:
    """A finite number with so many digits that count, or ``None``."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(f"{value:.{digits}g}") if math.isfinite(value) else None
    except OverflowError:
        return None


def text(value: object) -> str:
    """A value as text that can be written as UTF-8; passwords in addresses are masked."""
    if value is None:
        return ""
    found = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return masked(found.encode("utf-8", "replace").decode())


def short(value: object, most: int = _LONGEST) -> str:
    """A text without its middle, if it is longer than ``most`` characters, which it then says."""
    whole = value if isinstance(value, str) else text(value)
    if len(whole) <= most:
        return text(whole)
    half = most // 2
    return text(f"{whole[:half]}\n[… {len(whole) - 2 * half:,} characters are left out …]\n{whole[-half:]}")


def tail(whole: str, most: int) -> str:
    """The end of a text, if it is longer than ``most`` characters, which it then says."""
    return whole if len(whole) <= most else f"[… {len(whole) - most:,} characters before …]\n{whole[-most:]}"
