"""From conversations to tokens: chat template, tokenizer, and the mask of the tokens that the loss counts.

Only assistant turns are learned, from where their content begins to the end of the turn, so that the model learns
to end a turn but not to write its header. Where they lie in the text is found in ``spans``; where samples are kept is
not this file's business.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ilab_cli.backends.train.data.chat_template import ChatTemplate, Span
from ilab_cli.backends.train.data.conversations import Conversation
from ilab_cli.backends.train.data.spans import learned_spans
from ilab_cli.backends.train.data.turns import UnclearError
from ilab_profiles import Finding, InputError, Position, Train

__all__ = ["encode", "load_tokenizer", "model_source"]

_OTHER_TEMPLATE = "name a template that takes them as train.chat_template, or leave such conversations out"
_CHUNK = 1000
"""Conversations that are tokenised at once, on all cores."""


def model_source(train: Train) -> str:
    """Where the model comes from: the folder ``model_path``, absolute, or the hub name ``model_repo``."""
    return str(Path(train.model_path).resolve()) if train.model_path else train.model_repo


def load_tokenizer(train: Train) -> Any:
    """Load the model's tokenizer, with the chat template that the settings name.

    Returns:
        a ``transformers.PreTrainedTokenizerFast`` that has a chat template.

    Raises:
        InputError: if there is no tokenizer, it cannot tell where its tokens begin, or it has no sound template.
    """
    from transformers import AutoTokenizer

    where = "train.model_path" if train.model_path else "train.model_repo"
    source = model_source(train)
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=train.trust_remote_code)
    except Exception as error:  # the readers below raise errors of many kinds, Rust's panics among them
        reason = str(error).strip().partition("\n")[0]
        hint = "name a folder with config.json, weights and tokenizer as train.model_path"
        raise InputError(
            Finding("tokenizer-not-read", f"no tokenizer in {source}: {reason}", where, hint=hint)
        ) from error
    if not tokenizer.is_fast:
        raise InputError(
            Finding(
                "tokenizer-not-fast",
                f"the tokenizer of {source} has no tokenizer.json",
                where,
                why="only such a tokenizer tells which characters a token stands for",
                hint="convert it once with transformers and save it beside the model",
            )
        )
    if train.chat_template:
        tokenizer.chat_template = _read_template(train.chat_template)
    elif not tokenizer.chat_template:
        raise InputError(
            Finding(
                "no-chat-template",
                f"the tokenizer of {source} has no chat template",
                "train.chat_template",
                hint="give a Jinja file as train.chat_template",
            )
        )
    return tokenizer


def _read_template(name: str) -> str:
    from jinja2 import TemplateSyntaxError
    from transformers.utils.chat_template_utils import render_jinja_template

    try:
        text = Path(name).read_text(encoding="utf-8")
        render_jinja_template([[]], chat_template=text)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        hint = "name a Jinja file, or leave it out: then the tokenizer's own is used"
        raise InputError(
            Finding("template-not-read", f"cannot read {name}: {reason}", "train.chat_template", hint=hint)
        ) from error
    except TemplateSyntaxError as error:
        raise InputError(
            Finding("template-syntax", f"{error.message}", "train.chat_template", Position(name, error.lineno))
        ) from error
    except Exception:  # an empty conversation may well be refused: only the syntax is of interest here
        return text
    return text


def encode(
    tokenizer: Any, conversations: Sequence[Conversation]
) -> Iterator[tuple[NDArray[np.int32], NDArray[np.bool_]] | Finding]:
    """Turn each conversation into tokens, or into a finding where that cannot be done.

    Yields:
        ``(input_ids, learned)``, int32 ``[tokens]`` and bool ``[tokens]``: ``learned`` is true where the loss counts
        the prediction of that token. Or a ``Finding`` with the conversation's position.
    """
    template = ChatTemplate(tokenizer)
    for start in range(0, len(conversations), _CHUNK):
        chunk = conversations[start : start + _CHUNK]
        rendered = [_render(template, conversation) for conversation in chunk]
        texts = [item[0] for item in rendered if not isinstance(item, Finding)]
        encoding = (
            tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True, verbose=False) if texts else {}
        )
        tokens = iter(zip(encoding.get("input_ids", ()), encoding.get("offset_mapping", ()), strict=True))
        for conversation, item in zip(chunk, rendered, strict=True):
            if isinstance(item, Finding):
                yield item
                continue
            ids, offsets = next(tokens)
            learned = _learned(np.asarray(offsets).reshape(-1, 2), item[1])
            yield (np.asarray(ids, np.int32), learned) if learned.any() else _nothing_learned(conversation)


def _learned(offsets: NDArray[Any], spans: list[Span]) -> NDArray[np.bool_]:
    """The tokens that share a character with a span; nothing predicts the first token, so it never counts."""
    learned: NDArray[np.bool_] = np.zeros(len(offsets), np.bool_)
    for start, end in spans:
        learned |= (offsets[:, 0] < end) & (offsets[:, 1] > start)
    learned[:1] = False
    return learned


def _nothing_learned(conversation: Conversation) -> Finding:
    message = "the chat template leaves no token of an assistant turn to learn"
    return Finding("nothing-to-learn", message, "train.data_path", conversation.position)


def _render(template: ChatTemplate, conversation: Conversation) -> tuple[str, list[Span]] | Finding:
    """The conversation as text, with the spans of characters that are learned."""
    try:
        return learned_spans(template.offering(conversation.tools), conversation.messages)
    except UnclearError as error:
        return Finding(error.rule, str(error), "train.chat_template", conversation.position, hint=error.hint)
    except Exception as error:  # a template is a program, and the sandbox lets every error of it through
        message = f"the chat template refuses it: {error}"
        hint = f"{_beyond_text(conversation)}: {_OTHER_TEMPLATE}"
        return Finding("template-refuses", message, "train.data_path", conversation.position, hint=hint)


def _beyond_text(conversation: Conversation) -> str:
    """What a conversation holds that a template may not take."""
    messages = conversation.messages
    found = {
        "tools": bool(conversation.tools),
        "tool calls": any(message.get("tool_calls") for message in messages),
        "parts of a content": any(isinstance(message.get("content"), list) for message in messages),
    }
    roles = ", ".join(dict.fromkeys(message["role"] for message in messages))
    return f"it has {', '.join([*(name for name, held in found.items() if held), f'turns of {roles}'])}"
