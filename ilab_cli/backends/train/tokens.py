"""From conversations to tokens: chat template, tokenizer, and the mask of the tokens that the loss counts.

Only assistant turns are learned, from where their content begins to the end of the turn, so that the model learns
to end a turn but not to write its header. Where samples are kept is not this file's business.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ilab_cli.backends.train.conversations import Conversation, Message
from ilab_profiles import Finding, InputError, Position, Train

__all__ = ["encode", "load_tokenizer", "model_source"]

_MARKED = re.compile(r"\{%-?\s*generation\s*-?%\}")
_PROBE = "\ue000"
"""A character of no text, put in place of an answer to find where the template lets answers begin."""
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
        raise InputError(Finding("template-not-read", f"cannot read {name}: {error}", "train.chat_template")) from error
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
    template = tokenizer.get_chat_template()
    for start in range(0, len(conversations), _CHUNK):
        chunk = conversations[start : start + _CHUNK]
        rendered = [_render(tokenizer, template, conversation) for conversation in chunk]
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


def _learned(offsets: NDArray[Any], spans: list[tuple[int, int]]) -> NDArray[np.bool_]:
    """The tokens that share a character with a span; nothing predicts the first token, so it never counts."""
    learned: NDArray[np.bool_] = np.zeros(len(offsets), np.bool_)
    for start, end in spans:
        learned |= (offsets[:, 0] < end) & (offsets[:, 1] > start)
    learned[:1] = False
    return learned


def _nothing_learned(conversation: Conversation) -> Finding:
    message = "the chat template leaves no token of an assistant turn to learn"
    return Finding("nothing-to-learn", message, "train.data_path", conversation.position)


def _render(tokenizer: Any, template: str, conversation: Conversation) -> tuple[str, list[tuple[int, int]]] | Finding:
    """The conversation as text, with the spans of characters that are learned."""
    from jinja2 import TemplateError
    from transformers.utils.chat_template_utils import render_jinja_template

    special = tokenizer.special_tokens_map
    marked = bool(_MARKED.search(template))

    def render(messages: list[Message]) -> tuple[str, list[tuple[int, int]]]:
        texts, marks = render_jinja_template(
            [messages], chat_template=template, return_assistant_tokens_mask=marked, **special
        )
        return texts[0], marks[0] if marked else []

    try:
        text, marks = render(conversation.messages)
        spans = marks if marked else list(_spans(lambda messages: render(messages)[0], text, conversation.messages))
    except (TemplateError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError) as error:
        message = f"the chat template refuses it: {error}"
        return Finding("template-refuses", message, "train.data_path", conversation.position)
    except ValueError as error:
        hint = "mark what is learned with {% generation %} in a template of your own"
        return Finding("template-turns", str(error), "train.chat_template", conversation.position, hint=hint)
    return text, spans


def _spans(render: Any, text: str, messages: list[Message]) -> Iterator[tuple[int, int]]:
    """Where each assistant turn lies in ``text``, found by rendering the conversation up to its end.

    A turn begins where that render parts from one with another answer in its place.

    Raises:
        ValueError: if the render up to a turn is no beginning of the whole, so that nobody can say where it lies.
    """
    for number, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        upto = render(messages[: number + 1])
        if not text.startswith(upto):
            raise ValueError(f"the chat template writes messages[{number}] differently when others follow it")
        probe = render([*messages[:number], {**message, "content": _PROBE}])
        yield _common(upto, probe), len(upto)


def _common(one: str, other: str) -> int:
    """Number of characters that two texts begin with in common."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((number for number, (a, b) in pairs if a != b), min(len(one), len(other)))
