"""A tree holds every sequence whole, every log-probability once, and splits only where that saves much."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from ilab_cli.backends.evaluate.mmlu.tree import Node, Wanted, grow, reads

TOKENS = st.lists(st.integers(0, 2), min_size=1, max_size=12)
REQUESTS = st.lists(st.tuples(TOKENS, TOKENS), min_size=1, max_size=20)


def walk(nodes: list[Node], before: tuple[int, ...] = ()) -> Iterator[tuple[tuple[int, ...], Node]]:
    """Every node with all tokens up to its end."""
    for node in nodes:
        assert node.start == len(before)
        yield before + node.tokens, node
        yield from walk(node.children, before + node.tokens)


@given(REQUESTS, st.integers(6, 24))
def test_each_request_is_read_as_the_model_would_read_it_alone(
    requests: list[tuple[list[int], list[int]]], longest: int
) -> None:
    requests = [(context, answer[:6]) for context, answer in requests]
    seen: Counter[tuple[int, int]] = Counter()
    for path, node in walk(grow(reads(requests, longest))):
        for wanted in node.wanted:
            context, answer = requests[wanted.request]
            whole = [*context, *answer][-(longest + 1) :]
            assert node.start <= wanted.position < node.end
            assert path[: wanted.position + 1] == tuple(whole[: wanted.position + 1])
            assert wanted.token == whole[wanted.position + 1]
            assert wanted.last == (wanted.position == len(whole) - 2)
            seen[wanted.request, wanted.position] += 1
    assert set(seen.values()) == {1}
    assert len(seen) == sum(len(answer) for _, answer in requests)


def test_one_token_answers_to_a_question_are_one_sequence() -> None:
    (root,) = grow(reads([([1, 2, 3], [4]), ([1, 2, 3], [5])], 100))
    assert (root.tokens, root.children) == ((1, 2, 3), [])
    assert root.wanted == [Wanted(2, 4, 0, True), Wanted(2, 5, 1, True)]


def test_what_questions_share_is_a_node_of_its_own() -> None:
    examples, questions = list(range(100, 180)), [[number] * 10 for number in range(3)]
    (root,) = grow(reads([([*examples, *question], [99]) for question in questions], 1000))
    assert root.tokens == tuple(examples)
    assert [child.tokens for child in root.children] == [tuple(question) for question in questions]
    assert root.deepest == 90


def test_a_few_words_in_common_are_not_worth_a_split() -> None:
    roots = grow(reads([([7, 8, *[number] * 100], [99]) for number in range(3)], 1000))
    assert [(root.end - root.start, root.children) for root in roots] == [(102, [])] * 3
