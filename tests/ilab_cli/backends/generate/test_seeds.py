"""Rows carry the columns that pipelines and prompts name, in an order that depends on the seed alone."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from ilab_cli.backends.generate.documents import Text
from ilab_cli.backends.generate.qna import read_taxonomy
from ilab_cli.backends.generate.seeds import Row, rows
from ilab_profiles import Generate
from tests.ilab_cli.backends.generate.taxonomies import GROUNDED, SKILL, knowledge, put

CHUNKS = [Text(f"{name}.md", f"{name} {number}") for name in ("wren", "lark") for number in range(4)]


def made(folder: Path, text: str, chunks: list[Text] | None = None, seed: int = 1) -> list[Row]:
    (leaf,) = read_taxonomy(put(folder, {"mine/birds/qna.yaml": text}), "empty")
    return list(rows(leaf, chunks, Generate(seed=seed)))


def test_knowledge_has_a_row_for_each_example_and_chunk(tmp_path: Path) -> None:
    found = made(tmp_path, knowledge(), CHUNKS)
    assert {(row["icl_document"], row["document"]) for row in found} == {
        (f"Wren number {number}.", chunk.text) for number in range(5) for chunk in CHUNKS
    }
    (row,) = (row for row in found if row["document"] == "lark 2" and row["icl_document"] == "Wren number 4.")
    assert row == {
        "leaf": "mine/birds",
        "leaf_node_path": "mine->birds",
        "leaf_node_type": "knowledge",
        "kind": "knowledge",
        "task_description": "All about wrens.",
        "domain": "birds",
        "document_outline": "All about wrens.",
        "document": "lark 2",
        "document_name": "lark.md",
        "icl_document": "Wren number 4.",
        **{f"icl_query_{n}": f"Which wren? {letter}" for n, letter in enumerate("abc", start=1)},
        **{f"icl_response_{n}": "Wren 4" for n in (1, 2, 3)},
    }


def test_rows_whose_prompts_begin_alike_follow_each_other(tmp_path: Path) -> None:
    shown = [row["icl_document"] for row in made(tmp_path, knowledge(), CHUNKS)]
    changes = sum(before != after for before, after in pairwise(shown))
    assert changes == 4


@pytest.mark.parametrize(("text", "kind"), [(SKILL, "freeform"), (GROUNDED, "grounded")])
def test_skills_have_a_row_for_each_example(tmp_path: Path, text: str, kind: str) -> None:
    found = sorted(made(tmp_path, text), key=lambda row: str(row["seed_question"]))
    context = {"seed_context": "All birds have numbers."} if kind == "grounded" else {}
    assert found[3] == context | {
        "leaf": "mine/birds",
        "leaf_node_path": "mine->birds",
        "leaf_node_type": "skill",
        "kind": kind,
        "task_description": "Name a bird.",
        "seed_question": "Which bird is number 3?",
        "seed_response": "3",
    }
    assert len(found) == 5


def test_an_example_without_context_among_others_is_free_form(tmp_path: Path) -> None:
    text = GROUNDED.replace("    context: All birds have numbers.\n", "", 1)
    found = made(tmp_path, text)
    assert sorted(row["kind"] for row in found) == ["freeform", *["grounded"] * 4]
    assert all(("seed_context" in row) == (row["kind"] == "grounded") for row in found)


def test_the_seed_alone_decides_the_order(tmp_path: Path) -> None:
    first, again, other = (made(tmp_path, knowledge(), CHUNKS, seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    key = repr
    assert sorted(first, key=key) == sorted(other, key=key)
    assert made(tmp_path, knowledge(), []) == []
