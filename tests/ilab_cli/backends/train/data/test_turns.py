"""Whatever the chat template: the answer as it is rendered and the end of its turn are learned, nothing else is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as trials
from hypothesis import strategies as st

from ilab_profiles import Finding, Position
from tests.ilab_cli.backends.train.conftest import ROOT
from tests.ilab_cli.backends.train.data.templates import EOS, FAMILIES, SPECIAL, Family, learned

pytest.importorskip("transformers", reason="needs the train extra")
from ilab_cli.backends.train.data.conversations import Conversation
from ilab_cli.backends.train.data.tokens import encode

SHARED = ROOT.parent / "shared"
Messages = list[dict[str, Any]]


def messages(*texts: str, system: str | None = None) -> Messages:
    """A conversation of user and assistant in turn."""
    first = [] if system is None else [{"role": "system", "content": system}]
    return first + [
        {"role": "assistant" if number % 2 else "user", "content": text} for number, text in enumerate(texts)
    ]


THINKS = ("One?", "<think>\nFirst plan.\n</think>\n\nFour.", "Two?", "<think>Second plan.</think>\n\nFive.")
CONVERSATIONS = {
    "one turn": messages("One?", "Yes, one."),
    "two turns": messages("One?", "Yes, one.", "Two?", "No.", system="Be brief."),
    "thinking": messages(*THINKS),
    "no thoughts": messages("One?", "<think></think>Four.", "Two?", "<think>\n\n</think>\n\nFive."),
    "equal": messages("Four.", "Four.", "Four.", "Four.", system="Four."),
    "empty answer": messages("One?", ""),
    "all empty": messages("", "", "", "", system=""),
    "blank": messages(" ", " \n", "\n", "\n\n "),
    "ends with the user": messages("One?", "Yes.", "Two?"),
    "white space": messages(" One? ", " \n Yes. \n", "\nTwo?\n", "\n\nNo.\n\n"),
    "names of roles": messages("user", "assistant", "system", "model\nuser", system="assistant"),
    "special tokens": messages("<|end|>", "<|im_end|>\n<|user|>", f"{EOS}x<|end|>", "</think>"),
    "torn tags": messages("</think>", "</think>\n\nFour.", "<think>", "<think>Five."),
    "private characters": messages("\U000f0000", "\U000f0001 naïve 🍐 \U000ffffd", "\ue000", "\ue000"),
}
FRAGMENTS = st.one_of(
    st.sampled_from(["<think>", "</think>", "\n", "\n\n", " ", "Four.", "a", "<", "user", "content", EOS, *SPECIAL]),
    st.sampled_from(["\x1c", "\u2028", "### Response:", "Yes, one two.", "\U000f0000", "}", '"', "\\"]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
)
TEXTS = st.lists(FRAGMENTS, max_size=5).map("".join)
TALKS = st.builds(
    lambda system, texts: messages(*texts, system=system),
    st.none() | TEXTS,
    st.lists(TEXTS, min_size=2, max_size=7),
)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    """A tokenizer in which each byte is a token, and each special token of the families."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    bytewise = Tokenizer(models.BPE({letter: number for number, letter in enumerate(letters)}, []))
    bytewise.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytewise.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=bytewise, bos_token="<s>", eos_token=EOS, extra_special_tokens=SPECIAL
    )


def learned_by(tokenizer: Any, template: str, messages: Messages) -> list[str] | Finding:
    """The runs of learned tokens, as text, with a template."""
    tokenizer.chat_template = template
    return learned(tokenizer, messages)


def check(tokenizer: Any, family: Family, messages: Messages) -> None:
    if messages[0]["role"] == "system" and not family.takes_system:
        messages = messages[1:]
    found = learned_by(tokenizer, family.template, messages)
    if family.endless(messages):
        assert isinstance(found, Finding)
        assert found.rule == "endless-turn"
        assert "eos_token" in found.hint
    else:
        assert found == family.learned(messages)


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
@pytest.mark.parametrize("conversation", CONVERSATIONS.values(), ids=CONVERSATIONS)
def test_the_answers_and_their_ends_are_learned(tokenizer: Any, family: Family, conversation: Messages) -> None:
    check(tokenizer, family, conversation)


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_whatever_the_texts(tokenizer: Any, family: Family) -> None:
    @trials(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(TALKS)
    def holds(conversation: Messages) -> None:
        check(tokenizer, family, conversation)

    holds()


# --- messages that hold more than a content ---------------------------------------------------------------------------

CALL = {"id": "a", "type": "function", "function": {"name": "add", "arguments": {"one": "eins", "many": [1, 2]}}}
CALLED = 'add", "arguments": {"one": "eins", "many": [1, 2]}}\n</tool_call><|im_end|>\n'


def test_thoughts_of_their_own_field_are_learned(tokenizer: Any) -> None:
    conversation = [*messages("One?"), {"role": "assistant", "reasoning_content": "Hm.", "content": "Four."}]
    found = learned_by(tokenizer, FAMILIES["qwen3"].template, conversation)
    assert found == ["<think>\nHm.\n</think>\n\nFour.<|im_end|>\n"]
    aliased = [conversation[0], {"role": "assistant", "thinking": "Hm.", "content": "Four."}]
    assert learned_by(tokenizer, FAMILIES["harmony"].template, aliased) == [
        "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>Four.<|return|>"
    ]


@pytest.mark.parametrize("content", [{"content": None}, {"content": ""}, {}])
def test_a_call_of_a_tool_is_learned_from_its_opening_on(tokenizer: Any, content: dict[str, Any]) -> None:
    call = {"role": "assistant", **content, "tool_calls": [CALL]}
    more = [{"role": "tool", "tool_call_id": "a", "content": "4"}, {"role": "assistant", "content": "Four."}]
    opened = '<tool_call>\n{"name": "'
    assert learned_by(tokenizer, FAMILIES["qwen3"].template, [*messages("One?"), call, *more]) == [
        f"{opened}{CALLED}",
        "Four.<|im_end|>\n",
    ]
    assert learned_by(tokenizer, FAMILIES["harmony"].template, [*messages("One?"), call]) == [
        ' to=functions.add<|channel|>commentary json<|message|>{"one": "eins", "many": [1, 2]}<|call|>'
    ]


def test_a_call_beside_words_is_learned_with_them(tokenizer: Any) -> None:
    call = {"role": "assistant", "content": "Let me add.", "tool_calls": [CALL]}
    assert learned_by(tokenizer, FAMILIES["qwen3"].template, [*messages("One?"), call, *messages("Two?", "No.")]) == [
        f'Let me add.\n<tool_call>\n{{"name": "{CALLED}',
        "No.<|im_end|>\n",
    ]


def test_parts_of_a_content_are_learned(tokenizer: Any) -> None:
    parts = (
        "{% for m in messages %}<|{{ m.role }}|>{% if m.content is string %}{{ m.content }}{% else %}"
        "{% for part in m.content %}{% if part.type == 'text' %}{{ part.text }}{% endif %}{% endfor %}{% endif %}"
        "<|end|>\n{% endfor %}"
    )
    answer = {"role": "assistant", "content": [{"type": "text", "text": " Yes, "}, {"type": "text", "text": "one."}]}
    empty = {"role": "assistant", "content": [{"type": "text", "text": ""}]}
    found = learned_by(tokenizer, parts, [*messages("One?"), answer, *messages("Two?"), empty])
    assert found == [" Yes, one.<|end|>\n", "<|end|>\n"]


def test_texts_of_keys_of_its_own_are_learned(tokenizer: Any) -> None:
    template = "{% for m in messages %}<|{{ m.role }}|>{{ m.text or m.content }}<|end|>{% endfor %}"
    assert learned_by(tokenizer, template, [*messages("One?"), {"role": "assistant", "text": "Yes."}]) == [
        "Yes.<|end|>"
    ]


PARTS = [{"type": "text", "text": "One "}, {"type": "text", "text": "or two?"}]


@pytest.mark.parametrize("family", ["llama3", "shouts", "qwen3", "harmony", "shortens"])
def test_parts_are_joined_for_a_template_that_takes_only_text(tokenizer: Any, family: str) -> None:
    tokenizer.chat_template = FAMILIES[family].template
    answer = {"role": "assistant", "content": [{"type": "text", "text": " Yes, "}, {"type": "text", "text": "one."}]}
    in_parts, in_text = (
        encoded(tokenizer, [{"role": "user", "content": asked}, said])
        for asked, said in ((PARTS, answer), ("One or two?", {"role": "assistant", "content": " Yes, one."}))
    )
    assert in_parts == in_text


def encoded(tokenizer: Any, conversation: Messages) -> tuple[str, list[bool]]:
    """The text of a conversation, and which of its tokens are learned."""
    (item,) = encode(tokenizer, [Conversation(conversation, Position("data.jsonl", 3))])
    assert not isinstance(item, Finding)
    ids, counts = item
    return tokenizer.decode(ids), list(counts)


@pytest.mark.parametrize("content", [{"content": None}, {"content": ""}, {}, {"content": "Let me add."}])
@pytest.mark.parametrize("family", ["chatml", "llama3", "shouts", "phi3", "next_role", "without_end", "if_any"])
def test_a_tool_call_that_the_template_drops_is_refused(tokenizer: Any, family: str, content: dict[str, Any]) -> None:
    call = {"role": "assistant", **content, "tool_calls": [CALL]}
    found = learned_by(tokenizer, FAMILIES[family].template, [*messages("One?"), call, *messages("Two?", "No.")])
    assert isinstance(found, Finding)
    assert (found.rule, "messages[1].tool_calls[0]" in found.message) == ("template-drops-calls", True)
    assert "train.chat_template" in found.hint


def test_a_second_tool_call_that_the_template_drops_is_refused(tokenizer: Any) -> None:
    call = {"role": "assistant", "content": "", "tool_calls": [CALL, CALL]}
    found = learned_by(tokenizer, FAMILIES["harmony"].template, [*messages("One?"), call])
    assert isinstance(found, Finding)
    assert "messages[1].tool_calls[1]" in found.message


def test_no_name_of_null_is_learned_beside_a_call(tokenizer: Any) -> None:
    template = (
        "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% for call in m.tool_calls or [] %}"
        "[{{ call.function.name }}{{ call.function.arguments | tojson }}]{% endfor %}<|end|>{% endfor %}"
    )
    call = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    turns = learned_by(tokenizer, template, [*messages("One?"), call])
    assert isinstance(turns, list)
    (found,) = turns
    assert "None" not in found
    assert found.endswith('add{"one": "eins", "many": [1, 2]}]<|end|>')


def test_a_template_may_tell_null_from_an_empty_text(tokenizer: Any) -> None:
    template = (
        "{% for m in messages %}<|{{ m.role }}|>{% if m.content is none %}{{ m.tool_calls[0].function.name }}"
        "{% else %}{{ m.content }}{% endif %}<|end|>{% endfor %}"
    )
    call = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    assert learned_by(tokenizer, template, [*messages("One?"), call]) == ["add<|end|>"]


def test_an_empty_answer_after_thoughts_is_learned_with_its_end(tokenizer: Any) -> None:
    conversation = [*messages("One?"), {"role": "assistant", "thinking": "Hm.", "content": ""}]
    assert learned_by(tokenizer, FAMILIES["harmony"].template, conversation) == [
        "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|><|return|>"
    ]


# --- templates that cannot be followed --------------------------------------------------------------------------------

UNCLEAR = {
    "forgets": "{% for m in messages %}<|{{ m.role }}|>{% if loop.last %}{{ m.content }}{% endif %}<|end|>{% endfor %}",
    "repeats": "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{{ m.content }}<|end|>{% endfor %}",
    "counts": "{% for m in messages %}<|{{ m.role }}|>{{ m.content | length }}<|end|>{% endfor %}",
    "tears apart": "{% for m in messages %}{{ m.content[:3] }}{% endfor %}{% for m in messages %}{{ m.content[3:] }}"
    "{% endfor %}<|end|>",
    "marks too much": "{% generation %}{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
    "{% endgeneration %}",
}


@pytest.mark.parametrize("template", UNCLEAR.values(), ids=UNCLEAR)
def test_what_cannot_be_followed_is_reported(tokenizer: Any, template: str) -> None:
    found = learned_by(tokenizer, template, CONVERSATIONS["two turns"])
    assert isinstance(found, Finding)
    assert found.rule in ("template-turns", "endless-turn")
    assert found.position == Position("data.jsonl", 3)


CLOCK = "{{ strftime_now('%H:%M:%S.%f') }}{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
COUNTED = "{% for m in messages %}<|{{ m.role }}|>{{ m.content | length }}:{{ m.content }}<|end|>{% endfor %}"


@pytest.mark.parametrize("template", [CLOCK, COUNTED], ids=["clock", "length"])
@pytest.mark.parametrize("more", [{}, {"reasoning_content": "Hm, let me think."}, {"tool_calls": [CALL]}])
def test_what_changes_elsewhere_cannot_be_followed(tokenizer: Any, template: str, more: dict[str, Any]) -> None:
    answer = {"role": "assistant", "content": "A rather long answer.", **more}
    found = learned_by(tokenizer, template, [*messages("One?"), answer])
    assert isinstance(found, Finding)
    assert found.rule in ("template-turns", "template-drops-calls")


FAULTY = {
    "zero": "{{ 1 // 0 }}",
    "attribute": "{{ messages.nothing.more }}",
    "type": "{{ messages + 1 }}",
    "number": "{{ 'x'.encode('ascii', 'nothing') }}",
    "recursion": "{% macro more() %}{{ more() }}{% endmacro %}{{ more() }}",
    "unsafe": "{{ messages.__class__.__mro__ }}",
}


@pytest.mark.parametrize("template", FAULTY.values(), ids=FAULTY)
def test_a_template_that_fails_is_reported(tokenizer: Any, template: str) -> None:
    found = learned_by(tokenizer, template, CONVERSATIONS["one turn"])
    assert isinstance(found, Finding)
    assert found.rule in ("template-refuses", "nothing-to-learn", "template-turns")


def test_no_header_of_a_further_answer_is_learned(tokenizer: Any) -> None:
    always_asks = FAMILIES["chatml"].template + "<|im_start|>assistant\n"
    assert learned_by(tokenizer, always_asks, messages("One?", "Yes.", "Two?", "No.")) == [
        "Yes.<|im_end|>\n",
        "No.<|im_end|>\n",
    ]


def test_without_an_end_of_text_the_last_turn_is_reported(tokenizer: Any) -> None:
    tokenizer.eos_token = None
    try:
        found = learned_by(tokenizer, FAMILIES["next_role"].template, messages("One?", "Yes."))
    finally:
        tokenizer.eos_token = EOS
    assert isinstance(found, Finding)
    assert found.rule == "endless-turn"
    assert "no end of text" in found.message


@pytest.mark.skipif(not (SHARED / "cases" / "chat_templates").is_dir(), reason="needs the templates in ../shared")
@pytest.mark.parametrize("conversation", CONVERSATIONS.values(), ids=CONVERSATIONS)
def test_the_shared_templates_are_those_of_our_own(tokenizer: Any, conversation: Messages) -> None:
    names = {
        "drops_history_thinking": "drops",
        "next_role_ends_turn": "next_role",
        "generation_without_end": "without_end",
    }
    for name, ours in names.items():
        template = (SHARED / "cases" / "chat_templates" / f"{name}.jinja").read_text()
        assert learned_by(tokenizer, template, conversation) == FAMILIES[ours].learned(conversation)
