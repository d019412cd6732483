"""Rows that pipelines start from: what a leaf says, in the columns that pipeline and prompt files name.

The names are those of the files that earlier versions of ``ilab`` read. What is asked with them is up to the pipeline.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from random import Random

from ilab_cli.backends.generate.documents import Text
from ilab_cli.backends.generate.pipeline.block import Row
from ilab_cli.backends.generate.qna import Example, Leaf
from ilab_profiles import Generate

__all__ = ["Row", "rows"]


def rows(leaf: Leaf, chunks: Iterable[Text] | None, generate: Generate) -> Iterator[Row]:
    """The rows of a leaf: one for each seed example and, if it is knowledge, each chunk with it.

    Every chunk comes with one example before any comes with the next, and both in an order that ``generate.seed``
    draws: the first rows already show all parts of a document. The order is the same each time.

    Args:
        leaf: the leaf.
        chunks: pieces of its documents, with the name of the document; ``None`` for a skill.
        generate: the settings.
    """
    draw = Random(f"{generate.seed} {leaf.path}")
    common: Row = {
        "leaf": leaf.path,
        "leaf_node_path": "->".join(PurePosixPath(leaf.path).parts),
        "leaf_node_type": "knowledge" if leaf.kind == "knowledge" else "skill",
        "task_description": leaf.task_description or leaf.document_outline or _folders(leaf),
    }
    examples = draw.sample(leaf.examples, len(leaf.examples))
    if leaf.kind != "knowledge":
        yield from (common | _skill(example) for example in examples)
        return
    common |= {"kind": leaf.kind, "domain": leaf.domain, "document_outline": leaf.document_outline}
    pieces = list(chunks or ())
    for example in examples:
        shown = _knowledge(example)
        for piece in draw.sample(pieces, len(pieces)):
            yield common | shown | {"document": piece.text, "document_name": piece.name}


def _folders(leaf: Leaf) -> str:
    """What a leaf is about where it does not say: the names of its folders, in words."""
    return ", ".join(part.replace("_", " ").replace("-", " ") for part in PurePosixPath(leaf.path).parts[1:])


def _skill(example: Example) -> Row:
    ((question, answer),) = example.questions
    row: Row = {"kind": "freeform", "seed_question": question, "seed_response": answer}
    return row | {"kind": "grounded", "seed_context": example.context} if example.context else row


def _knowledge(example: Example) -> Row:
    row: Row = {"icl_document": example.context}
    for number, (question, answer) in enumerate(example.questions, start=1):
        row |= {f"icl_query_{number}": question, f"icl_response_{number}": answer}
    return row
