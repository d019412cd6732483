"""A generation as its folder tells it: pairs and the documents they were made of, and what was rejected and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ilab_cli.backends.report.folders import RunFolder
from ilab_cli.backends.report.rows import mapping, number, rows_of, sequence, short, text

__all__ = ["Generation", "LeafFigures", "read_generation"]

_LONGEST_DOCUMENT = 60_000

Row = list[Any]


@dataclass(frozen=True)
class LeafFigures:
    """What became of a leaf, or of the whole run: pairs, rows that were asked, and how many were rejected by reason."""

    name: str
    accepted: int
    wanted: int
    rows: int
    gave_out: bool
    rejected: Mapping[str, int]


@dataclass
class Generation:
    """What is shown of a generation.

    Attributes:
        run: the run.
        leaves: what became of each leaf.
        whole: the same for all together, if the run came to its end.
        figures: calls, seconds and the like.
        pairs: rows of leaf, document, question, answer and pipeline; what did not become a pair has its reason too.
        documents: the text of each document, by leaf and name.
    """

    run: RunFolder
    leaves: list[LeafFigures] = field(default_factory=list)
    whole: LeafFigures | None = None
    figures: dict[str, float] = field(default_factory=dict)
    pairs: list[Row] = field(default_factory=list)
    documents: list[Row] = field(default_factory=list)

    @property
    def reasons(self) -> list[tuple[str, int]]:
        """Why pairs were rejected, and how many, the most frequent reason first."""
        return sorted(self.whole.rejected.items(), key=lambda item: -item[1]) if self.whole else []


def read_generation(run: RunFolder) -> Generation:
    """What a run folder of a generation holds; what cannot be read joins the run's findings."""
    found = Generation(run)
    for row in rows_of(run.folder / "metrics.jsonl", run.findings):
        if "leaf" not in row:
            continue
        if row["leaf"] is None:
            found.whole = _figures("", row)
            names = ("seconds", "calls", "tried_again", "from_journal", "cut_short")
            found.figures = {name: value for name in names if (value := number(row.get(name))) is not None}
        else:
            found.leaves.append(_figures(text(row["leaf"]), row))
    for kind in ("knowledge", "skills"):
        for row in rows_of(run.folder / f"train_{kind}.jsonl", run.findings):
            about = mapping(row.get("metadata"))
            asked, answered = _said(row, "user"), _said(row, "assistant")
            place = [text(about.get("leaf")), text(about.get("document"))]
            found.pairs.append([*place, asked, answered, text(about.get("pipeline")), ""])
    for row in rows_of(run.folder / "rejected.jsonl", run.findings):
        place = [text(row.get("leaf")), text(row.get("document"))]
        said = [short(row.get("question")), short(row.get("response"))]
        found.pairs.append([*place, *said, text(row.get("pipeline")), text(row.get("reason")) or "rejected"])
    for row in rows_of(run.folder / "documents.jsonl", run.findings):
        content = short(row.get("text"), _LONGEST_DOCUMENT)
        found.documents.append([text(row.get("leaf")), text(row.get("document")), content])
    return found


def _figures(name: str, row: Mapping[str, Any]) -> LeafFigures:
    accepted, wanted, rows = (int(number(row.get(part), 12) or 0) for part in ("accepted", "wanted", "rows"))
    rejected = {text(why): int(number(count, 12) or 0) for why, count in mapping(row.get("rejected")).items()}
    return LeafFigures(name, accepted, wanted, rows, bool(row.get("gave_out")), rejected)


def _said(row: Mapping[str, Any], role: str) -> str:
    """What one side said, turns apart by an empty line."""
    said = [
        text(message.get("content"))
        for message in sequence(row.get("messages"))
        if isinstance(message, dict) and message.get("role") == role
    ]
    return short("\n\n".join(said))
