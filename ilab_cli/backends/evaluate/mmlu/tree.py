"""What many token sequences have in common, as a tree: each stretch of tokens that several share stands in it once.

A sequence is what a model reads to judge one or more answers: a context and an answer without its last token. Where
little would be saved, sequences are not split, as every split makes batches smaller. Nothing is computed here.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby, takewhile

__all__ = ["Node", "Wanted", "grow", "reads"]

_WORTH = 0.1
"""Share of the tokens below a split that it has to save."""

Tokens = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Wanted:
    """One log-probability that is asked for: that of a token after those up to a position of a sequence.

    Attributes:
        position: the position.
        token: the token.
        request: number of the request that it is part of.
        last: whether it is the last one of the request.
    """

    position: int
    token: int
    request: int
    last: bool


@dataclass(slots=True)
class Node:
    """A stretch of tokens, and what follows it.

    Attributes:
        sequence: a whole sequence that the stretch is part of.
        start: its first position in the sequence.
        end: the position after its last.
        wanted: what is asked for inside the stretch.
        children: the stretches that follow it.
    """

    sequence: Tokens
    start: int
    end: int
    wanted: list[Wanted] = field(default_factory=list)
    children: list[Node] = field(default_factory=list)

    @property
    def tokens(self) -> Tokens:
        """The stretch."""
        return self.sequence[self.start : self.end]

    @property
    def deepest(self) -> int:
        """Tokens of the longest sequence that goes through it."""
        return max((child.deepest for child in self.children), default=self.end)


def reads(requests: Iterable[tuple[Sequence[int], Sequence[int]]], longest: int) -> dict[Tokens, list[Wanted]]:
    """What a model has to read for some requests, each sequence once, with what is wanted of it.

    Args:
        requests: the tokens of a context and of a continuation, whose log-probability is wanted; neither is empty.
        longest: most tokens that the model reads; of what is longer the beginning is left out.
    """
    found: dict[Tokens, list[Wanted]] = {}
    for number, (context, continuation) in enumerate(requests):
        whole = (*context, *continuation)[-(longest + 1) :]
        first, last = len(whole) - 1 - len(continuation), len(whole) - 2
        wanted = found.setdefault(whole[:-1], [])
        wanted += [Wanted(place, token, number, place == last) for place, token in enumerate(continuation, first)]
    return found


def grow(sequences: dict[Tokens, list[Wanted]]) -> list[Node]:
    """The trees of sequences; those that have nothing worth sharing are trees of one node."""
    return _grow([Node(sequence, 0, len(sequence), wanted) for sequence, wanted in sorted(sequences.items())], 0)


def _grow(leaves: list[Node], start: int) -> list[Node]:
    """Nodes that cover sorted sequences from a position on, up to which all are alike."""
    found: list[Node] = []
    for _, group in groupby(leaves, key=lambda leaf: leaf.sequence[start]):
        alike = list(group)
        found += _split(alike, start) if len(alike) > 1 else [_from(start, alike[0])]
    return found


def _split(leaves: list[Node], start: int) -> list[Node]:
    """The node of what several sequences share from a position on, or, if that is not worth it, what follows it."""
    first, last = leaves[0].sequence, leaves[-1].sequence
    pairs = zip(first[start:], last[start:], strict=False)
    end = start + sum(1 for _ in takewhile(lambda pair: operator.eq(*pair), pairs))
    ended = [leaf for leaf in leaves if leaf.end == end]  # at most one, the first
    children = _grow(leaves[len(ended) :], end)
    if not _is_worth(end - start, len(children) + len(ended), sum(map(_size, children))):
        return [_from(start, node) for node in (*ended, *children)]
    node = Node(first, start, end, [wanted for leaf in ended for wanted in leaf.wanted], children)
    for child in children:
        node.wanted += [wanted for wanted in child.wanted if wanted.position < end]
        child.wanted = [wanted for wanted in child.wanted if wanted.position >= end]
    return [node]


def _is_worth(shared: int, times: int, below: int) -> bool:
    return (times - 1) * shared >= _WORTH * (times * shared + below)


def _from(start: int, node: Node) -> Node:
    node.start = start
    return node


def _size(node: Node) -> int:
    return node.end - node.start + sum(map(_size, node.children))
