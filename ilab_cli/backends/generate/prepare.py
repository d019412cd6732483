"""What rows are made from: the documents of every leaf, fetched and cut into chunks, by several processes at once."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from ilab_cli.backends.generate import chunks
from ilab_cli.backends.generate.documents import Text, fetch
from ilab_cli.backends.generate.qna import Leaf
from ilab_profiles import Finding, InputError

__all__ = ["prepare"]


def prepare(leaves: Sequence[Leaf], cache: Path, *, words: int, processes: int) -> dict[str, list[Text]]:
    """Fetch and cut the documents of leaves.

    Args:
        leaves: the leaves; those without documents are passed over.
        cache: folder that keeps fetched documents.
        words: most words of a chunk.
        processes: how many leaves are prepared at once.

    Returns:
        for the path of each leaf with documents, its chunks in order, each with the name of its document.

    Raises:
        InputError: with all that is wrong with any document.
    """
    leaves = [leaf for leaf in leaves if leaf.document]
    findings: list[Finding] = []
    prepared = {}
    for leaf, outcome in zip(leaves, _outcomes(leaves, cache, words, processes), strict=True):
        if isinstance(outcome, InputError):
            findings += outcome.findings
        else:
            prepared[leaf.path] = outcome
    if findings:
        raise InputError(findings)
    return prepared


def _outcomes(leaves: Sequence[Leaf], cache: Path, words: int, processes: int) -> Iterator[list[Text] | InputError]:
    arguments = (leaves, [cache] * len(leaves), [words] * len(leaves))
    if min(processes, len(leaves)) <= 1:
        yield from map(_chunks, *arguments)
        return
    with ProcessPoolExecutor(min(processes, len(leaves)), initializer=_end_at_interrupts) as pool:
        yield from pool.map(_chunks, *arguments)


def _end_at_interrupts() -> None:
    """Let Ctrl-C end this process, and a git that hangs in it, without a word: the parent tells of it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _chunks(leaf: Leaf, cache: Path, words: int) -> list[Text] | InputError:
    """The chunks of a leaf's documents; what is wrong is returned, since it may have to travel between processes."""
    try:
        return [Text(text.name, chunk) for text in fetch(leaf, cache) for chunk in chunks.split(text.text, words)]
    except InputError as error:
        return error
