"""The learned spans of a rendered conversation: each assistant turn from its own first character to its end.

The end of a turn is what the template writes after the answer when the conversation stops there, else the special
token that follows, else, after all, the tokenizer's end of text.
"""

from __future__ import annotations

from collections.abc import Sequence

from ilab_cli.backends.train.data.chat_template import ChatTemplate, Span
from ilab_cli.backends.train.data.conversations import Message
from ilab_cli.backends.train.data.reading import Reading, common
from ilab_cli.backends.train.data.turns import Turn, UnclearError, refuse_lost_calls, refuse_others, turns_of

__all__ = ["learned_spans"]


def learned_spans(template: ChatTemplate, messages: Sequence[Message]) -> tuple[str, list[Span]]:
    """A conversation as text, and the spans of characters of it that are learned.

    Where the template ends the last turn with nothing, the tokenizer's end of text follows the text.

    Raises:
        UnclearError: if a turn or its end cannot be found, or a tool call is left out.
        Exception: of whatever kind, if the template refuses the conversation.
    """
    reading = Reading(template, messages)
    refuse_lost_calls(reading)
    spans, more = _marked(reading) if template.marked else _found(reading)
    for span in spans:
        refuse_others(reading, span)
    if not more:
        return reading.text, spans
    start, end = spans[-1]
    return reading.text[:end] + more, [*spans[:-1], (start, end + len(more))]


def _found(reading: Reading) -> tuple[list[Span], str]:
    """The span of each assistant turn, and what has to follow the text so that the last one ends."""
    spans, more = [], ""
    for turn in turns_of(reading):
        end, more = _end(reading, turn)
        spans.append((turn.start, end))
    return spans, more


def _marked(reading: Reading) -> tuple[list[Span], str]:
    """The spans that the template marks itself, with the end of the turn where it leaves that out."""
    spans, more, special = [], "", reading.template.special
    turns = _turns_of_marked(reading)
    for start, end in reading.generated:
        for turn in turns:
            if start <= turn.stop <= end and not special.search(reading.text[turn.stop : end]):
                stop, more = _end(reading, turn)
                end = max(stop, end)
        spans.append((start, end))
    return spans, more


def _turns_of_marked(reading: Reading) -> list[Turn]:
    """The turns, which need not be found where each marked span ends with a special token.

    Raises:
        UnclearError: if they cannot be found, and one does not.
    """
    try:
        return list(turns_of(reading))
    except UnclearError:
        if not all(_is_ended(reading, span) for span in reading.generated):
            raise
        return []


def _is_ended(reading: Reading, span: Span) -> bool:
    """Whether a span ends with a special token, but for white space."""
    ends = [found.end() for found in reading.template.special.finditer(reading.text, *span)]
    return bool(ends) and not reading.text[ends[-1] : span[1]].strip()


def _end(reading: Reading, turn: Turn) -> tuple[int, str]:
    """Where a turn ends, and what has to follow the text there so that it does.

    Raises:
        UnclearError: if it has no end.
    """
    template, is_last = reading.template, turn.number == len(reading.messages) - 1
    later = [at for at, place in reading.first.seen if place.number > turn.number and at >= turn.stop]
    after = reading.text[turn.stop : min(later, default=len(reading.text))]
    alone = _without_header(reading, turn, after if is_last else _after_alone(reading, turn))
    if alone.strip() and after.startswith(alone):
        ended = not is_last or template.special.search(alone)
        return turn.stop + len(alone), "" if ended else template.eos
    shared = common(after, alone)
    found = template.special.search(after)
    if found and (found.start() <= shared or not after[: found.start()].strip()):
        blank = after[found.end() : shared]
        return turn.stop + found.end() + len(blank) - len(blank.lstrip()), ""
    if is_last and template.eos:
        return turn.stop + len(alone), template.eos
    why = "the tokenizer has no end of text" if is_last else "no special token follows it"
    message = f"nothing ends the turn of messages[{turn.number}]: the chat template writes no end, and {why}"
    hint = "write the tokenizer's eos_token after each answer in a template of your own, as train.chat_template"
    raise UnclearError(message, "endless-turn", hint)


def _after_alone(reading: Reading, turn: Turn) -> str:
    """What the template writes after a turn where the conversation stops there."""
    _, *parts = reading.split(reading.template.try_render([*reading.messages[: turn.number], turn.message]))
    return parts[-1] if parts else ""


def _without_header(reading: Reading, turn: Turn, after: str) -> str:
    """What follows a turn, up to the header of a further answer, which some templates always ask for."""
    special = reading.template.special
    ends = [found.end() for found in special.finditer(after)]
    if len(ends) < 2:
        return after
    *_, begin = [0, *(found.start() for found in special.finditer(reading.text, 0, turn.start))]
    at = after.find(reading.text[begin : turn.start].rstrip() or after, ends[0])
    return after if at < 0 else after[:at]
