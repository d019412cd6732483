"""One question on its way: the model answers turn after turn, and each answer goes to the judge at once."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ilab_cli.backends.client.client import Client
from ilab_cli.backends.client.requests import Answer, Refused, Request
from ilab_cli.backends.evaluate.mt_bench.judging import Judgement, messages, score_in
from ilab_cli.backends.evaluate.mt_bench.questions import JudgePrompt, Question

__all__ = ["Conversation"]

_TRIES = 4
"""Times that a judge is asked for one score."""
_OTHERWISE = 0.3
"""The judge's temperature from the second time on: at 0, with the same seed, it would say the same again."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """How questions are asked.

    Args:
        model: asks the model under test.
        judge: asks the judge.
        prompts: the judge prompts.
        max_tokens: longest answer of the model.
        judge_max_tokens: longest judgement.
        subject: tells the model's weights from others, so that another model's answers are not taken for its own.
    """

    model: Client
    judge: Client
    prompts: Mapping[str, JudgePrompt]
    max_tokens: int
    judge_max_tokens: int
    subject: str = ""

    async def hold(self, question: Question) -> list[Judgement]:
        """Ask every turn of a question, while the judge rates the answers that are there.

        Raises:
            Stopped: if the run must stop.
        """
        answers: list[str] = []
        tasks: list[asyncio.Task[Judgement]] = []
        lost = ""
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(1, len(question.turns) + 1):
                    found = await self._answer(question, answers)
                    if isinstance(found, Refused):
                        lost = f"no answer: {found.reason}"
                        break
                    answers.append(found)
                    tasks.append(group.create_task(self._judged(question, number, tuple(answers))))
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None
        missing = range(len(answers) + 1, len(question.turns) + 1)
        return [*(task.result() for task in tasks), *(_judgement(question, turn, "", error=lost) for turn in missing)]

    async def _answer(self, question: Question, before: Sequence[str]) -> str | Refused:
        """What the model says to the next turn, without the thoughts that some models begin with."""
        chat: list[dict[str, str]] = []
        for asked, said in zip(question.turns, before, strict=False):
            chat += [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]
        chat.append({"role": "user", "content": question.turns[len(before)]})
        body = {"messages": chat, "max_tokens": self.max_tokens, "temperature": question.temperature}
        (found,) = await self.model.ask(
            Request(f"{self.subject}{question.id}/{len(before) + 1}", "answer", body | {"seed": 0})
        )
        if isinstance(found, Refused):
            return found
        text = found.text.rpartition("</think>")[2].strip()
        return "" if text.startswith("<think>") else text  # it never came to an answer

    async def _judged(self, question: Question, turn: int, answers: Sequence[str]) -> Judgement:
        """The judgement of the last answer; one without a score is asked for again, a few times."""
        chat = messages(question, answers, self.prompts, self.judge.model)
        said = Answer("")
        for attempt in range(_TRIES):
            about = {"max_tokens": self.judge_max_tokens, "temperature": _OTHERWISE if attempt else 0.0}
            body: dict[str, Any] = {"messages": chat, **about, "seed": attempt}
            (found,) = await self.judge.ask(Request(f"{question.id}/{turn}/{attempt}", "judge", body))
            if isinstance(found, Refused):
                return _judgement(question, turn, answers[-1], error=f"no judgement: {found.reason}")
            said = found
            if (score := score_in(said)) is not None:
                return _judgement(question, turn, answers[-1], said.text, score)
        why = "it was cut short" if said.finish_reason == "length" else "it holds no rating"
        return _judgement(question, turn, answers[-1], said.text, error=f"no score in the judgement: {why}")


def _judgement(
    question: Question, turn: int, answer: str, said: str = "", score: float | None = None, error: str | None = None
) -> Judgement:
    reference = question.references[turn - 1] if question.references else None
    asked = question.turns[turn - 1]
    return Judgement(question.id, question.category, turn, asked, answer, reference, said, score, error)
