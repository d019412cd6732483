"""What is learned of a conversation: the assistant's words and the end of its turn, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from ilab_cli.backends.train.data.conversations import Conversation
from ilab_profiles import Finding, InputError, Position, Train
from tests.ilab_cli.backends.train.conftest import ROOT, TEMPLATE
from tests.ilab_cli.backends.train.data.templates import learned

pytest.importorskip("transformers", reason="needs the train extra")
from ilab_cli.backends.train.data.tokens import encode, load_tokenizer

GRANITE = ROOT.parent / "shared" / "models" / "granite-7b-lab"
TURNS = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "One?"},
    {"role": "assistant", "content": "Yes, one."},
    {"role": "user", "content": "Two?"},
    {"role": "assistant", "content": "No."},
]
MARKED = (
    "{% for message in messages %}<|{{ message.role }}|>"
    "{% if message.role == 'assistant' %}{% generation %}{{ message.content }}<|end|>{% endgeneration %}"
    "{% else %}{{ message.content }}<|end|>{% endif %}{% endfor %}"
)
FORGETS = (
    "{% for m in messages %}<|{{ m.role }}|>{% if loop.last or m.role == 'user' %}{{ m.content }}{% endif %}"
    "<|end|>{% endfor %}"
)
REFUSES = "{% if messages[0].role != 'user' %}{{ raise_exception('begin with user') }}{% endif %}x"


def train_for(folder: Path, template: str | None = None, tmp_path: Path | None = None) -> Train:
    if template is None:
        return Train(model_path=str(folder))
    assert tmp_path
    (tmp_path / "chat.jinja").write_text(template)
    return Train(model_path=str(folder), chat_template=str(tmp_path / "chat.jinja"))


@pytest.mark.parametrize("template", [TEMPLATE, MARKED])
def test_learns_the_answers_and_their_ends(model_dir: Path, tmp_path: Path, template: str) -> None:
    tokenizer = load_tokenizer(train_for(model_dir, template, tmp_path))
    end = "<|end|>" if template == MARKED else "<|end|>\n"
    assert learned(tokenizer, TURNS) == [f"Yes, one.{end}", f"No.{end}"]


def test_empty_and_odd_answers(model_dir: Path) -> None:
    tokenizer = load_tokenizer(train_for(model_dir))
    question = {"role": "user", "content": "No."}
    for answer in ("", " ", "\nNo.", "<|assistant|>\nNo.", "naïve 🍐\n"):
        assert learned(tokenizer, [question, {"role": "assistant", "content": answer}]) == [f"{answer}<|end|>\n"]


def test_a_template_that_forgets_is_reported(model_dir: Path, tmp_path: Path) -> None:
    finding = learned(load_tokenizer(train_for(model_dir, FORGETS, tmp_path)), TURNS)
    assert isinstance(finding, Finding)
    assert str(finding).startswith("data.jsonl:3: error[template-turns] train.chat_template: ")
    assert "messages[2]" in finding.message
    assert "generation" in finding.hint


def test_a_template_that_refuses_is_reported(model_dir: Path, tmp_path: Path) -> None:
    finding = learned(load_tokenizer(train_for(model_dir, REFUSES, tmp_path)), TURNS)
    assert isinstance(finding, Finding)
    assert "begin with user" in finding.message
    assert "turns of system, user, assistant" in finding.hint
    assert "train.chat_template" in finding.hint


def test_a_refusing_template_is_told_what_the_conversation_holds(model_dir: Path, tmp_path: Path) -> None:
    template = "{% if messages[-1].tool_calls %}{{ raise_exception('no tools') }}{% endif %}x"
    call = {"role": "assistant", "tool_calls": [{"type": "function", "function": {"name": "a", "arguments": {}}}]}
    finding = learned(load_tokenizer(train_for(model_dir, template, tmp_path)), [TURNS[1], call])
    assert isinstance(finding, Finding)
    assert finding.rule == "template-refuses"
    assert "it has tool calls, turns of user, assistant" in finding.hint


def test_a_template_that_cannot_be_read_is_told_once(model_dir: Path, tmp_path: Path) -> None:
    missing = str(tmp_path / "no.jinja")
    with pytest.raises(InputError) as caught:
        load_tokenizer(Train(model_path=str(model_dir), chat_template=missing))
    (finding,) = caught.value.findings
    assert (finding.rule, str(finding).count(missing)) == ("template-not-read", 1)
    assert "Errno" not in finding.message
    assert finding.hint


def test_a_template_with_a_syntax_error_is_reported_at_its_line(model_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"chat\.jinja:2: error\[template-syntax\]"):
        load_tokenizer(train_for(model_dir, "\n{% if %}", tmp_path))


def test_tools_reach_the_template_and_are_not_learned(model_dir: Path, tmp_path: Path) -> None:
    template = "{% for tool in tools or [] %}<|system|>{{ tool.name }}<|end|>{% endfor %}" + TEMPLATE
    tokenizer = load_tokenizer(train_for(model_dir, template, tmp_path))
    (item,) = encode(tokenizer, [Conversation(TURNS[1:3], Position("data.jsonl", 1), [{"name": "search"}])])
    assert not isinstance(item, Finding)
    ids, counts = item
    assert "search" in tokenizer.decode(ids)
    assert tokenizer.decode(ids[counts]) == "Yes, one.<|end|>\n"


@pytest.mark.skipif(not GRANITE.is_dir(), reason="needs the granite tokenizer in ../shared")
def test_granite() -> None:
    tokenizer = load_tokenizer(train_for(GRANITE))
    assert learned(tokenizer, TURNS) == ["Yes, one.<|endoftext|>", "No.<|endoftext|>"]
    assert learned(tokenizer, TURNS[:3]) == ["Yes, one.<|endoftext|>"]
    accented = [TURNS[1], {"role": "assistant", "content": "naïve 🍐\n"}]
    assert learned(tokenizer, accented) == ["naïve 🍐\n<|endoftext|>"]
