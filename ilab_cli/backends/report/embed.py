"""Tables in the page: rows as JSON, compressed, in a block that a browser does not run; what has no room is counted.

The page stays small enough to be opened and sent: each table gets a share of what there is room for, and leaves out
the rows that matter least. JSON that stands in the page as it is cannot end its block.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["ROOM", "Table", "as_json", "pack"]

ROOM = 13 * 2**20
"""Bytes for all tables of a page together."""
_HARMLESS = str.maketrans({letter: f"\\u{ord(letter):04x}" for letter in "<>&\u2028\u2029"})


@dataclass(frozen=True)
class Table:
    """A table as it stands in the page.

    Attributes:
        name: id of its block.
        content: base64 of gzip of JSON: what comes along with the rows, and under ``rows`` the rows.
        total: rows that there are.
        shown: rows of them that it holds.
    """

    name: str
    content: str
    total: int
    shown: int

    @property
    def note(self) -> str:
        """What was left out, in words; empty if nothing was."""
        if self.shown == self.total:
            return ""
        return f"{self.shown:,} of {self.total:,} rows are here; {self.total - self.shown:,} had no room on the page."


def pack(name: str, rows: Sequence[Any], along: dict[str, Any], room: int, matters: Sequence[Any] = ()) -> Table:
    """Pack as many rows as there is room for, in their order.

    Args:
        name: id of the block.
        rows: the rows.
        along: what is needed besides the rows; it is never cut.
        room: most bytes of the block.
        matters: for each row what it is sorted by where not all can stay, the smallest first; else the first stay.
    """
    order = sorted(range(len(rows)), key=matters.__getitem__) if matters else [*range(len(rows))]
    kept = rows
    content = _packed(along, rows)
    while len(content) > room and kept:
        count = int(len(kept) * min(0.95, 0.97 * room / len(content)))
        kept = [rows[at] for at in sorted(order[:count])]
        content = _packed(along, kept)
    return Table(name, content, len(rows), len(kept))


def _packed(along: dict[str, Any], rows: Sequence[Any]) -> str:
    content = json.dumps({**along, "rows": rows}, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return base64.b64encode(gzip.compress(content.encode(), compresslevel=6, mtime=0)).decode()


def as_json(data: Any) -> str:
    """Data as JSON that can stand in a ``script`` element, whatever their texts are."""
    content = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return content.translate(_HARMLESS)
