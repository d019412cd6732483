"""What the judge is shown of an answer, and the score that is read from what it says. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ilab_cli.backends.client.dialect import merged
from ilab_cli.backends.client.requests import Answer
from ilab_cli.backends.evaluate.mt_bench.questions import JudgePrompt, Question, prompt_name
from ilab_cli.backends.generate.pipeline.families import PLAIN, family_of

__all__ = ["HIGHEST", "LOWEST", "Judgement", "messages", "score_in"]

LOWEST, HIGHEST = 1.0, 10.0
_NUMBER = r"(-?\d+(?:\.\d+)?)"
_RATING = re.compile(rf"\[\[\s*{_NUMBER}\s*\]\]")
_SINGLE = re.compile(rf"(?<![\w\])])\[\s*{_NUMBER}\s*\](?!\])")  # what follows a name is an index in a program


@dataclass(frozen=True, slots=True)
class Judgement:
    """What became of the answer to one turn.

    Attributes:
        question_id: the question's number or name.
        category: its category.
        turn: 1 or 2.
        question: what was asked in this turn.
        answer: what the model answered; empty if it did not.
        reference: an answer that is right, if the judge was shown one.
        judgement: what the judge said; empty if it was not asked or did not answer.
        score: from 1 to 10; ``None`` if there is none.
        error: why there is none.
    """

    question_id: int | str
    category: str
    turn: int
    question: str
    answer: str
    reference: str | None
    judgement: str
    score: float | None
    error: str | None

    def row(self) -> dict[str, Any]:
        """As ``judgements.jsonl`` holds it."""
        return asdict(self)


def messages(
    question: Question, answers: Sequence[str], prompts: Mapping[str, JudgePrompt], judge: str
) -> list[dict[str, str]]:
    """The chat that asks a judge for a score of the last of the answers.

    Args:
        question: what was asked.
        answers: the model's answers so far, one or two.
        prompts: the judge prompts.
        judge: its name; a family that is known to have no system role gets that text in the user's turn.
    """
    prompt = prompts[prompt_name(len(answers), bool(question.references))]
    values = {"question": question.turns[0], "answer": answers[0]}
    for name, texts in {"question": question.turns, "answer": answers, "ref_answer": question.references}.items():
        values |= {f"{name}_{number}": text for number, text in enumerate(texts, start=1)}
    chat = [{"role": "user", "content": prompt.template.format(**values)}]
    if prompt.system.strip():
        chat.insert(0, {"role": "system", "content": prompt.system})
    family = family_of(None, judge)
    return chat if family is PLAIN or family.system_role else merged(chat)


def score_in(judgement: Answer) -> float | None:
    """The score that a judgement gives: its last ``[[n]]``, else its last ``[n]``; ``None`` if there is no sound one.

    A judgement that was cut short has no verdict in single brackets, which mean much else besides.
    """
    text = judgement.text.rpartition("</think>")[2].strip()
    if text.startswith("<think>"):  # it never came to a verdict
        return None
    found = _RATING.findall(text) or (_SINGLE.findall(text) if judgement.finish_reason != "length" else [])
    score = float(found[-1]) if found else 0.0
    return score if LOWEST <= score <= HIGHEST else None
