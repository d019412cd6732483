"""What stands in a row at the end of a pipeline: a question and its response."""

from __future__ import annotations

import json
import re

from ilab_cli.backends.generate.pipeline.block import Rejected, Row

__all__ = ["finished"]


def finished(row: Row) -> Row | Rejected:
    """The row with ``question`` and ``response``, and ``context`` where a grounded skill has one.

    Pipelines that ask for a question and its answer in one piece leave it in ``output``; see :func:`_parted`.
    """
    if "question" in row and "response" in row:
        question, response = _text(row["question"]), _text(row["response"])
    elif parts := _parted(_text(row.get("output"))):
        question, response = parts
    else:
        return Rejected("no question and answer found")
    if not question or not response:
        return Rejected("part of an answer is missing")
    row = {**row, "question": question, "response": response}
    context = _text(row.pop("context", None)) or _text(row.get("seed_context"))
    return row | {"context": context} if context and context not in question else row


def _text(value: object) -> str:
    """A value as text; a list, such as several answers in one column, is none."""
    return "" if value is None or isinstance(value, list | dict) else str(value).strip()


# --- one text with both -----------------------------------------------------------------------------------------------


def _parted(text: str) -> tuple[str, str] | None:
    """Question and answer: by labels, as JSON, else after the first question mark or the first line."""
    if parts := _LABELLED.search(text):
        return parts["question"].strip("* \n"), parts["response"].strip()
    if found := _JSON.search(text):
        return _of_json(text[found.start() :])
    text = text[found.end() :] if (found := _ANNOUNCED.match(text)) else text
    if parts := _ASKED.fullmatch(text) or _FIRST_LINE.fullmatch(text):
        question, response = _BEFORE_QUESTION.sub("", parts["question"]), _BEFORE_RESPONSE.sub("", parts["response"])
        if not _NO_QUESTION.search(question) and not _NO_RESPONSE.search(response):
            return question.strip("* \n"), response.strip()
    return None


def _of_json(text: str) -> tuple[str, str] | None:
    """Question and answer of the first object of a text."""
    try:
        found, _ = json.JSONDecoder(strict=False).raw_decode(text)
    except (ValueError, RecursionError):
        return None
    values = {name.casefold(): _text(value) for name, value in found.items()}
    question, response = (
        next((values[name] for name in names if name in values), "") for names in (_ASKING, _ANSWERING)
    )
    return question, response


def _label(names: str) -> str:
    """What begins a line: ``Question 2:``, ``**Question:**``, ``[Question]``, or alone on it ``## Question``."""
    marks, number = r"[ \t*#]*", r"(?:[ \t]*\d+)?[ \t*]*"
    end = rf"(?:{number}(?:\]?:\**|\])|(?<=\w\w){number}$)"  # a letter alone on a line may be anything
    return rf"^{marks}(?:\d+[.)]{marks})?\[?(?:{names}){end}"


_ASKING = ("question", "instruction", "query", "q")
_ANSWERING = ("answer", "response", "output", "a")
_QUESTION, _ANSWER = _label(rf"(?P<asking>{'|'.join(_ASKING)})"), _label("|".join(_ANSWERING))
_PAIR_ENDS = rf"(?:{_label('(?P=asking)')}|\[end\b[^\]\n]*\]|\Z)"
_FLAGS = re.DOTALL | re.IGNORECASE | re.MULTILINE
_LABELLED = re.compile(rf"{_QUESTION}(?P<question>.+?){_ANSWER}(?P<response>.+?){_PAIR_ENDS}", _FLAGS)
_ANNOUNCED = re.compile(r"[^\n?]*:\s*\n\s*")
_JSON = re.compile(rf"\{{\s*\"(?:{'|'.join((*_ASKING, *_ANSWERING))})\"", re.IGNORECASE)
_ASKED = re.compile(r"(?P<question>.+?\?)[*\"']*\s*(?P<response>.+)", re.DOTALL)
_FIRST_LINE = re.compile(r"(?P<question>[^\n]+)\n\s*(?P<response>.+)", re.DOTALL)
_BEFORE_QUESTION = re.compile(rf"\A(?:{_QUESTION}|[*#\s]*(?:\d+[.)]\s+)?)", _FLAGS)
_BEFORE_RESPONSE = re.compile(rf"\A{_ANSWER}", _FLAGS)
_NO_QUESTION = re.compile(rf"\A[\W_]*\Z|\A\s*[\[{{<]|```|\A(?:{_ANSWER})", _FLAGS)
_NO_RESPONSE = re.compile(rf"\A[\W_]*\Z|\A\s*(?:[,}}\]]|</)|{_label('|'.join(_ASKING))}", _FLAGS)
