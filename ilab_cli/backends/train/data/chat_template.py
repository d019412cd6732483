"""A tokenizer's chat template: what it makes of messages, and what one must know to read that."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from copy import copy
from functools import cached_property
from typing import Any

from ilab_cli.backends.train.data.conversations import Message

__all__ = ["ChatTemplate", "Span"]

Span = tuple[int, int]
"""Characters of a rendered text, from the first to the one after the last."""

_MARKED = re.compile(r"\{%-?\s*generation\s*-?%\}")


class ChatTemplate:
    """A tokenizer's chat template, with what one must know of the tokenizer to read what it renders.

    Args:
        tokenizer: a ``transformers.PreTrainedTokenizerFast`` that has a chat template.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._text: str = tokenizer.get_chat_template()
        self._words = tokenizer.special_tokens_map
        self._tools: list[dict[str, Any]] | None = None
        self.eos: str = tokenizer.eos_token or ""
        added = [str(token) for token in tokenizer.added_tokens_decoder.values() if token.special]
        self.special = _any_of([*added, *tokenizer.all_special_tokens])
        self.marked = bool(_MARKED.search(self._text))

    @cached_property
    def literals(self) -> re.Pattern[str]:
        """Matches the words that the template compares texts with, or splits them at."""
        from jinja2 import Environment

        tokens = [(kind, value) for _, kind, value in Environment().lex(self._text) if kind != "whitespace"]
        found = [
            value[1:-1]
            for (_, before), (kind, value), (_, after) in zip(tokens, tokens[1:], tokens[2:], strict=False)
            if kind == "string" and (before, after) != ("[", "]")  # the name of a key
        ]
        words = [word.encode("ascii", "backslashreplace").decode("unicode-escape") for word in found]
        return _any_of(word for word in words if word.strip())

    def offering(self, tools: list[dict[str, Any]] | None) -> ChatTemplate:
        """The same template, for conversations in which these tools are offered."""
        if not tools:
            return self
        other = copy(self)
        other._tools = tools
        return other

    def render(self, messages: Sequence[Message], *, prompt: bool = False) -> tuple[str, list[Span]]:
        """Messages as text, with the spans that the template itself marks as learned.

        Args:
            messages: the conversation.
            prompt: whether to add what asks the model for an answer.

        Raises:
            Exception: of whatever kind, as a template is a program.
        """
        from transformers.utils.chat_template_utils import render_jinja_template

        texts, marks = render_jinja_template(
            [messages],
            tools=self._tools,
            chat_template=self._text,
            return_assistant_tokens_mask=self.marked,
            add_generation_prompt=prompt,
            **self._words,
        )
        return texts[0], [(int(start), int(end)) for start, end in marks[0]] if self.marked else []

    def try_render(self, messages: Sequence[Message], *, prompt: bool = False) -> str:
        """Messages as text; empty if the template refuses them."""
        try:
            return self.render(messages, prompt=prompt)[0]
        except Exception:  # what does not work tells nothing, for whatever reason
            return ""


def _any_of(words: Iterable[str]) -> re.Pattern[str]:
    """Matches any of some words, the longest first; nothing if there are none."""
    once = sorted({word for word in words if word}, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, once)) or r"(?!)")
