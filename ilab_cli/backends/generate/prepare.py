"""What rows are made from: the documents of every leaf, fetched and cut into chunks, several leaves at once.

Threads do that: nearly all of the time goes to waiting for git, and a text is cut at more than 10 MB a second.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ilab_cli.backends.generate import chunks
from ilab_cli.backends.generate.documents import Text, fetch
from ilab_cli.backends.generate.git import git_ended
from ilab_cli.backends.generate.qna import Leaf
from ilab_profiles import Finding, InputError

__all__ = ["prepare"]


def prepare(leaves: Sequence[Leaf], cache: Path, *, words: int, at_once: int) -> dict[str, list[Text]]:
    """Fetch and cut the documents of leaves.

    Args:
        leaves: the leaves; those without documents are passed over.
        cache: folder that keeps fetched documents.
        words: most words of a chunk.
        at_once: how many leaves are prepared at once.

    Returns:
        for the path of each leaf with documents, its chunks in order, each with the name of its document.

    Raises:
        InputError: with all that is wrong with any document.
    """
    leaves = [leaf for leaf in leaves if leaf.document]
    findings: list[Finding] = []
    prepared = {}
    for leaf, outcome in zip(leaves, _outcomes(leaves, cache, words, at_once), strict=True):
        if isinstance(outcome, InputError):
            findings += outcome.findings
        else:
            prepared[leaf.path] = outcome
    if findings:
        raise InputError(findings)
    return prepared


def _outcomes(leaves: Sequence[Leaf], cache: Path, words: int, at_once: int) -> Iterator[list[Text] | InputError]:
    def chunks_of(leaf: Leaf) -> list[Text] | InputError:
        try:
            return [Text(text.name, chunk) for text in fetch(leaf, cache) for chunk in chunks.split(text.text, words)]
        except InputError as error:
            return error

    with ThreadPoolExecutor(at_once) as pool:
        try:
            yield from pool.map(chunks_of, leaves)
        except BaseException:
            with git_ended():
                pool.shutdown(cancel_futures=True)
            raise
