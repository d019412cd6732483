"""A served model under lm-eval's interface: an endpoint is asked for the log probabilities of the tokens of a prompt.

The prompt is the question and a choice; the log-likelihood of the choice is the sum over the tokens at the prompt's
end that hold its letters. Servers give them in one of two forms: those of OpenAI's completions where they echo a
prompt, and vLLM's ``prompt_logprobs``; which of them a server knows is tried out with the first question. Every answer
is in a journal before it is used.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from lm_eval.api.model import LM

from ilab_cli.backends.client.addresses import base_urls
from ilab_cli.backends.client.client import Client
from ilab_cli.backends.client.failures import Failure, Kind
from ilab_cli.backends.client.requests import Answer, EndpointFailed, Refused, Request
from ilab_cli.backends.client.settings import Asked, EndpointSettings
from ilab_cli.backends.evaluate.keys import with_keys
from ilab_cli.backends.evaluate.mmlu.progress import bar
from ilab_profiles import Evaluate, InputError

__all__ = ["EndpointLM", "JOURNAL", "log_likelihood"]

JOURNAL = "mmlu.journal.jsonl"
"""The answers, in the folder of the run: who starts again there asks nothing twice."""
_CONCURRENCY = 64
_RETRIES = 5
_SECONDS = 600.0

_FORMS: dict[str, dict[str, Any]] = {
    "echo": {"echo": True, "logprobs": 1},
    "prompt_logprobs": {"prompt_logprobs": 1},
}
"""How log probabilities of a prompt are asked for, beside the prompt itself."""
_NONE = "no log probabilities of the prompt"

Token = tuple[str, float | None, bool]
"""A token of a prompt: its text, its log probability, and whether it is the likeliest there."""


class EndpointLM(LM):  # type: ignore[misc]
    """A model at an endpoint.

    Args:
        evaluate: the settings.
        journal: file of finished calls.
    """

    def __init__(self, evaluate: Evaluate, journal: Path) -> None:
        super().__init__()
        self._settings, self._journal = settings(evaluate), journal
        self.model = ""

    def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
        """The log-likelihood of each continuation after its context, and whether it is what the model would say.

        Raises:
            Stopped: if the endpoint is away, gives no log probabilities, or refuses a question.
        """
        return asyncio.run(self._ask(requests))

    def loglikelihood_rolling(self, requests: Sequence[Any]) -> list[float]:
        """Not asked of an endpoint."""
        raise NotImplementedError("an endpoint is asked multiple-choice questions only")

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """Not asked of an endpoint."""
        raise NotImplementedError("an endpoint is asked multiple-choice questions only")

    async def _ask(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
        found: dict[int, tuple[float, bool]] = {}
        async with Client(self._settings, self._journal) as client:
            self.model = client.model
            form = await self._form(client, requests[0])
            waiting: Iterator[tuple[int, Any]] = iter(enumerate(requests))

            async def work() -> None:
                for number, instance in waiting:
                    answer = await self._answer(client, instance, form)
                    if isinstance(answer, Refused):
                        about = f"question {instance.doc_id} of {instance.task_name}"
                        raise EndpointFailed(f"{self._settings.address}: {about} got no answer: {said(client, answer)}")
                    total, greedy = json.loads(answer.text)
                    found[number] = total, greedy
                    shown.update(1)

            with bar(total=len(requests)) as shown:
                try:
                    async with asyncio.TaskGroup() as group:
                        for _ in range(2 * _CONCURRENCY):
                            group.create_task(work())
                except BaseExceptionGroup as failures:
                    raise failures.exceptions[0] from None
        return [found[number] for number in range(len(requests))]

    async def _form(self, client: Client, instance: Any) -> str:
        """The form in which the endpoint gives log probabilities."""
        told: list[str] = []
        for form in _FORMS:
            answer = await self._answer(client, instance, form)
            if isinstance(answer, Answer):
                return form
            told.append(f"asked with `{form}`: {said(client, answer)}")
        hint = "MMLU needs a server that does, such as vLLM; or name a folder with --model, and no endpoint"
        raise EndpointFailed(f"{self._settings.address} gives {_NONE} ({'; '.join(dict.fromkeys(told))}): {hint}")

    async def _answer(self, client: Client, instance: Any, form: str) -> Answer | Refused:
        context, continuation = instance.args
        spaces = len(context) - len(context.rstrip())  # they are the continuation's, as lm-eval has it
        continuation = context[len(context) - spaces :] + continuation
        prompt = context[: len(context) - spaces] + continuation
        body = {"prompt": prompt, "max_tokens": 1, "temperature": 0, **_FORMS[form]}
        row = f"{instance.task_name} {instance.doc_id} {instance.idx}"
        request = Request(row, "mmlu", body, partial(_read, prompt=prompt, continuation=continuation))
        return (await client.ask(request))[0]


def settings(evaluate: Evaluate) -> EndpointSettings:
    """Whom the client asks: the key of ``evaluate.mt`` goes along, unless it is for another endpoint."""
    mmlu, mt = evaluate.mmlu, with_keys(evaluate).mt
    address = mmlu.endpoint or ""
    asked = Asked("evaluate.mmlu.endpoint", "evaluate.mt.api_key", "evaluate.mmlu.model", "time limit of a question")
    key = mt.api_key.get_secret_value() if mt.api_key else ""
    same = not mt.endpoint or _urls(mt.endpoint) == _urls(address)
    model = mmlu.model or evaluate.model or ""
    return EndpointSettings(address, asked, model, key if same else "", _CONCURRENCY, _RETRIES, _SECONDS)


def _urls(address: str) -> set[str]:
    try:
        return set(base_urls(address, ""))
    except InputError:
        return set()


def said(client: Client, answer: Refused) -> str:
    """Why a question got no answer, in the endpoint's own words where it said more."""
    detail = client.said.get(answer.reason, "")
    return f"{answer.reason}: {detail}" if detail else answer.reason


def log_likelihood(tokens: Sequence[Token], continuation: str) -> tuple[float, bool]:
    """The sum over the last tokens, as many as hold the letters of a continuation.

    Returns:
        the log-likelihood in nats, and whether each of these tokens is the likeliest.

    Raises:
        ValueError: if a log probability is missing, or there are too few tokens.
    """
    total, greedy, letters = 0.0, True, len(continuation)
    for text, value, likeliest in reversed(tokens):
        if letters <= 0:
            break
        if value is None or not math.isfinite(value):
            raise ValueError("a token of the choice has no log probability")
        total, greedy, letters = total + value, greedy and likeliest, letters - len(text)
    if letters > 0:
        raise ValueError("the tokens do not reach the beginning of the choice")
    return total, greedy


def _read(data: Any, prompt: str, continuation: str) -> list[Answer]:
    """The log-likelihood in an answer of either form, as JSON."""
    try:
        choice = data["choices"][0]
        tokens = list(_of_vllm(choice) if choice.get("prompt_logprobs") else _of_echo(choice, data, prompt))
        return [Answer(json.dumps(log_likelihood(tokens, continuation)), choice.get("finish_reason"))]
    except (ValueError, LookupError, TypeError, AttributeError):
        raise Failure(Kind.WRONG, _NONE) from None


def _of_echo(choice: Mapping[str, Any], data: Mapping[str, Any], prompt: str) -> Iterator[Token]:
    """The tokens of a prompt that was echoed, without what was answered to it."""
    found = choice["logprobs"]
    if not str(choice["text"]).startswith(prompt):
        raise ValueError("the prompt is not echoed")
    count = (data.get("usage") or {}).get("prompt_tokens")
    if count is None:
        count = sum(offset < len(prompt) for offset in found["text_offset"])
    best = found.get("top_logprobs") or [None] * count
    for text, value, others in zip(found["tokens"][:count], found["token_logprobs"], best, strict=False):
        yield text, value, value is not None and value >= max((others or {}).values(), default=value)


def _of_vllm(choice: Mapping[str, Any]) -> Iterator[Token]:
    """The tokens of a prompt in vLLM's own form: each with itself first, then the likeliest."""
    for entries in choice["prompt_logprobs"]:
        own = next(iter(entries.values())) if entries else {}
        yield own.get("decoded_token") or "", own.get("logprob"), own.get("rank") == 1
