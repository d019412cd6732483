"""What a generation leaves in its folder: conversations to train on and to test with, and a recipe for each kind.

Knowledge and skills lie apart. Test data are the pairs that people wrote into the taxonomy: they show the teacher what
is wanted, and the student never trains on them. How pairs come about is not told here, and tasks of several choices are
made of them in :mod:`ilab_cli.backends.generate.tasks`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ilab_cli.backends.jsonl import as_lines
from ilab_cli.backends.mix.recipes import KINDS
from ilab_profiles.yaml.files import write_atomically
from ilab_profiles.yaml.write import dump

if TYPE_CHECKING:
    from ilab_cli.backends.generate.documents import Text
    from ilab_cli.backends.generate.pipeline.losses import Losses
    from ilab_cli.backends.generate.qna import Leaf

__all__ = ["Pair", "recipe_file", "seed_pairs", "train_file", "write", "write_beside"]

DOCUMENTS = "documents.jsonl"
"""File in the run folder with the text of each document, by leaf."""
REJECTED = "rejected.jsonl"
"""File in the run folder with examples of what did not become a pair, and why."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A question and its answer.

    Attributes:
        leaf: path of the leaf in the taxonomy.
        kind: ``knowledge``, ``grounded`` or ``freeform``.
        pipeline: what made it: the name of the pipeline, or ``seed`` if a person wrote it.
        context: text that the question is about, and that is asked with it; empty for knowledge, which has to be known.
        document: name of the document that it was made from, empty for skills.
    """

    question: str
    response: str
    leaf: str
    kind: str
    pipeline: str
    context: str = ""
    document: str = ""

    def columns(self) -> dict[str, str]:
        """The pair as a row of a pipeline has it."""
        return {"question": self.question, "response": self.response, "document_name": self.document}

    def conversation(self) -> dict[str, Any]:
        """The pair as a line of training data."""
        asked = f"{self.context}\n\n{self.question}" if self.context else self.question
        return {
            "messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": self.response}],
            "metadata": {"leaf": self.leaf, "document": self.document, "pipeline": self.pipeline},
        }


def seed_pairs(leaf: Leaf) -> list[Pair]:
    """The pairs that a person wrote into a leaf."""
    grounded = leaf.kind == "grounded"
    return [
        Pair(question, answer, leaf.path, leaf.kind, "seed", (example.context or "") if grounded else "")
        for example in leaf.examples
        for question, answer in example.questions
    ]


def write(folder: Path, pairs: Sequence[Pair], tests: Sequence[Pair]) -> None:
    """Write ``train_KIND.jsonl``, ``test_KIND.jsonl`` and ``recipe_KIND.yaml`` for each kind that there are pairs of.

    Files of a kind that there is none of are taken away, so that nothing of an earlier run stays behind.

    Raises:
        InputError: if a file cannot be written; each file is all old or all new then.
    """
    for kind in KINDS:
        train, test = train_file(folder, kind), folder / f"test_{kind}.jsonl"
        _put_pairs(train, [pair for pair in pairs if _side(pair) == kind])
        _put_pairs(test, [pair for pair in tests if _side(pair) == kind])
        recipe = recipe_file(folder, kind)
        if train.exists():
            write_atomically(recipe, dump({"datasets": [{"path": train.name, "sampling_size": 1.0}]}))
        else:
            recipe.unlink(missing_ok=True)


def write_beside(folder: Path, documents: Mapping[str, Sequence[Text]], rejected: Mapping[str, Losses]) -> None:
    """Write what pairs are looked at with: ``documents.jsonl`` and ``rejected.jsonl``, of which nothing is learned.

    Args:
        folder: the run folder.
        documents: the pieces of the documents of each leaf, in order.
        rejected: what was rejected of each leaf; a few examples of each reason are written.

    Raises:
        InputError: if a file cannot be written.
    """
    whole: dict[tuple[str, str], list[str]] = {}
    for leaf, pieces in documents.items():
        for piece in pieces:
            whole.setdefault((leaf, piece.name), []).append(piece.text)
    texts = [{"leaf": leaf, "document": name, "text": "\n\n".join(of)} for (leaf, name), of in whole.items()]
    examples = [
        {"leaf": leaf, "reason": reason, **row}
        for leaf, losses in rejected.items()
        for reason, rows in losses.examples.items()
        for row in rows
    ]
    write_atomically(folder / DOCUMENTS, as_lines(texts))
    write_atomically(folder / REJECTED, as_lines(examples))


def train_file(folder: Path, kind: str) -> Path:
    """Where generated data of a kind lie."""
    return folder / f"train_{kind}.jsonl"


def recipe_file(folder: Path, kind: str) -> Path:
    """Where the recipe for a kind of generated data lies."""
    return folder / f"recipe_{kind}.yaml"


def _side(pair: Pair) -> str:
    """The kind of data that a pair is among; skills are grounded and free-form ones."""
    return "knowledge" if pair.kind == "knowledge" else "skills"


def _put_pairs(path: Path, pairs: Sequence[Pair]) -> None:
    if pairs:
        write_atomically(path, as_lines(pair.conversation() for pair in pairs))
    else:
        path.unlink(missing_ok=True)
