"""What can be browsed on the page: answers, judgements, pairs and documents, each as a table that is packed into it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from ilab_cli.backends.report.answers import Asked
from ilab_cli.backends.report.embed import ROOM, Table, pack
from ilab_cli.backends.report.generated import Generation

__all__ = ["tables"]


class _Draft(NamedTuple):
    """A table before it is known how much room there is for it."""

    name: str
    rows: Sequence[Any]
    along: dict[str, Any]
    matters: Sequence[Any]

    @property
    def weight(self) -> int:
        """About how long its texts are."""
        return len(str(self.rows[:: max(1, len(self.rows) // 200)])) * max(1, len(self.rows) // 200)


def tables(choices: Asked, judged: Asked, generations: Sequence[Generation], room: int = ROOM) -> dict[str, Table]:
    """All tables by name: ``choices``, ``judgements``, and ``pairs-N`` and ``documents-N`` of the run with number N.

    The smallest is packed first, and what it leaves of its share of the room goes to the others.
    """
    drafts = [draft for draft in _drafts(choices, judged, generations) if draft.rows]
    packed = {}
    for left, draft in zip(range(len(drafts), 0, -1), sorted(drafts, key=lambda draft: draft.weight), strict=True):
        table = pack(draft.name, draft.rows, draft.along, room // left, draft.matters)
        packed[draft.name] = table
        room -= len(table.content)
    return packed


def _drafts(choices: Asked, judged: Asked, generations: Sequence[Generation]) -> Iterator[_Draft]:
    along = {"runs": choices.runs, "facets": choices.facets, "before": choices.before}
    wrong = [all(value.get(place, 1.0) for value in choices.values) for place in range(len(choices.rows))]
    yield _Draft("choices", choices.rows, along, [*zip(wrong, _nth(row[0] for row in choices.rows), strict=True)])
    along = {"runs": judged.runs, "facets": judged.facets}
    lowest = [min(value.get(place, 10.0) for value in judged.values) for place in range(len(judged.rows))]
    yield _Draft("judgements", judged.rows, along, lowest)
    for generation in generations:
        yield from _of_generation(generation)


def _of_generation(generation: Generation) -> Iterator[_Draft]:
    names = dict.fromkeys(name for row in generation.pairs for name in (row[0], row[1], row[4], row[5]))
    names |= dict.fromkeys(name for row in generation.documents for name in row[:2])
    place = {name: at for at, name in enumerate(names)}
    pairs = [[place[row[0]], place[row[1]], row[2], row[3], place[row[4]], place[row[5]]] for row in generation.pairs]
    nth = _nth((row[0], row[5]) for row in pairs)
    yield _Draft(f"pairs-{generation.run.number}", pairs, {"names": [*names]}, nth)
    documents = [[place[leaf], place[name], content] for leaf, name, content in generation.documents]
    yield _Draft(f"documents-{generation.run.number}", documents, {}, ())


def _nth(names: Iterable[Any]) -> list[int]:
    """For each name, how often it came before: rows that are sorted by that are spread over all names."""
    seen: Counter[Any] = Counter()
    found = []
    for name in names:
        found.append(seen[name])
        seen[name] += 1
    return found
