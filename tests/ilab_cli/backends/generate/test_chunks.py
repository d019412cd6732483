"""Chunks hold every word once, none is too long, and cuts are made where they hurt least."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ilab_cli.backends.generate.chunks import split

WORDS = [
    "wren",
    "A lark.",
    "Why?",
    '"Oh!" He',
    "#",
    "1. one\n",
    "# Birds",
    "\n## Wrens\n",
    "===\n",
    "---\n",
    "- item\n",
    "鳥は鳥です。",
    "-" * 120,
]
SPACES = [" ", "\t", "\n", "\n\n", "\u2028", "\x1c", "\x85", "\u3000"]
PARTS = st.sampled_from([*WORDS, *SPACES, "```\n", "\n~~~~\n", "| a | b |\n", "    code\n"])
TEXTS = st.one_of(st.text(), st.lists(PARTS).map("".join), st.lists(PARTS).map(" ".join))
TABLE = "| bird | size |\n|---|---|\n" + "".join(f"| bird{number} | {number} |\n" for number in range(8))
CODE = "```python\n" + "".join(f"x = {number}\n\n" for number in range(8)) + "```\n"


def words(chunk: str) -> int:
    return len(chunk.split())


def paragraph(name: str, sentences: int = 2) -> str:
    return " ".join(f"{name} says sentence number {number}." for number in range(sentences))


@given(TEXTS, st.integers(1, 12))
@example("# A\n\n# B\n\nc d e f g", 3)
@example("a " * 7, 3)
def test_nothing_is_lost_and_no_chunk_is_too_long(text: str, limit: int) -> None:
    chunks = split(text, limit)
    assert "".join(word for chunk in chunks for word in chunk.split()) == "".join(text.split())
    assert all(0 < words(chunk) <= limit for chunk in chunks)
    assert all(chunk in text for chunk in chunks)


def test_a_text_that_fits_is_not_cut() -> None:
    text = f"# Birds\n\n{paragraph('Wren')}\n\n{TABLE}\n{CODE}"
    assert split(f"\n{text}\n", 1000) == [text.strip()]
    assert split(" \n ", 10) == []


def test_cuts_are_between_paragraphs() -> None:
    parts = [paragraph(name) for name in ("Wren", "Lark", "Crow", "Rook")]
    assert split("\n\n".join(parts), 20) == ["\n\n".join(parts[:2]), "\n\n".join(parts[2:])]
    assert split("\n \t\n".join(parts), 19) == parts


def test_cuts_are_between_sentences_if_a_paragraph_is_too_long() -> None:
    chunks = split(paragraph("Wren", 10), 20)
    assert [words(chunk) for chunk in chunks] == [20, 15, 15]
    assert all(chunk.startswith("Wren") and chunk.endswith(".") for chunk in chunks)


def test_cuts_are_between_words_if_a_sentence_is_too_long() -> None:
    assert [words(chunk) for chunk in split("wren " * 100, 30)] == [25, 25, 25, 25]


@pytest.mark.parametrize("limit", [50, 100, 250, 1000])
def test_the_limit_sets_the_size(limit: int) -> None:
    chunks = split("\n\n".join(paragraph(f"Wren{number}") for number in range(100)), limit)
    assert len(chunks) == 1000 // limit
    assert {words(chunk) for chunk in chunks} == {limit}


def test_no_chunk_is_a_small_rest() -> None:
    text = "\n\n".join(paragraph(f"Wren{number}") for number in range(11))
    assert [words(chunk) for chunk in split(text, 100)] == [60, 50]


@pytest.mark.parametrize("heading", ["## Larks", "Larks\n=====", "# Birds\n\n## Larks"])
@pytest.mark.parametrize("limit", range(11, 30))
def test_a_heading_stays_with_its_text(heading: str, limit: int) -> None:
    text = f"{paragraph('Wren')}\n\n{heading}\n\n{paragraph('Lark', 5)}\n"
    (found,) = [chunk for chunk in split(text, limit) if "Larks" in chunk]
    assert "Lark says" in found
    assert heading in found


@pytest.mark.parametrize("block", [TABLE, CODE, TABLE.replace("| b", "* b")])
def test_tables_lists_and_code_are_cut_between_lines_and_only_if_they_must(block: str) -> None:
    text = f"{paragraph('Wren')}\n\n{block}\n{paragraph('Lark')}"
    assert any(block.strip() in chunk for chunk in split(text, words(block)))
    lines = {line.strip() for line in block.splitlines()}
    chunks = split(block, words(block) // 2)
    assert len(chunks) > 1
    assert all(line.strip() in lines for chunk in chunks for line in chunk.splitlines())


def test_what_looks_like_a_heading_in_code_is_none() -> None:
    code = "```sh\nls\n\n# a comment\n\nls -l\n```"
    assert split(f"{code}\n\n{paragraph('Wren')}", 11) == [code, paragraph("Wren")]


def test_code_inside_a_line_opens_no_block() -> None:
    text = f"```ls``` lists files. Or folders.\n\n## Larks\n\n{paragraph('Lark')}"
    assert split(text, 13) == ["```ls``` lists files. Or folders.", f"## Larks\n\n{paragraph('Lark')}"]


def test_text_without_spaces_is_cut_between_sentences() -> None:
    sentences = ["黑頭山雀是一種小型鳥類。", "牠分佈於北美洲嗎\uff1f", "「牠會唱歌。」", "シジュウカラは鳥です\uff01"]
    assert split("".join(sentences), 13) == sentences
    assert [len(chunk) for chunk in split("鳥" * 100, 30)] == [25] * 4
    assert split("यह एक पक्षी है। यह छोटा है।", 5) == ["यह एक पक्षी है।", "यह छोटा है।"]


def test_what_is_no_word_does_not_make_a_chunk_of_any_length() -> None:
    image = "![A wren](data:image/png;base64," + "iVBOR/" * 2000 + ")"
    chunks = split(f"{paragraph('Wren')}\n\n{image}\n\n{paragraph('Lark')}", 100)
    assert all(len(chunk) <= 100 * 50 for chunk in chunks)
    assert "".join(chunks).count("iVBOR/") >= 1990


def test_abbreviations_and_quotes() -> None:
    text = 'He saw approx. ten wrens. "Wrens!" she said. "Really?" They flew 3.5 miles (or less.) Then it was over.'
    assert split(text, 5)[0] == "He saw approx. ten wrens."


@pytest.mark.parametrize(
    "text",
    ["。" * 500_000, "wren " * 200_000, "." + " " * 500_000 + "a", ".'" * 200_000, "`" * 500_000, "# a\n" * 50_000],
)
def test_long_texts_take_no_time(text: str) -> None:
    begin = time.perf_counter()
    split(text, 300)
    assert time.perf_counter() - begin < 5
