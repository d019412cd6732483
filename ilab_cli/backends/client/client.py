"""The client: asks, tries again, and keeps every answer in the journal. The one face of this package to its users."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from time import monotonic

import aiohttp

from ilab_cli.backends.client.addresses import base_urls
from ilab_cli.backends.client.endpoint import Endpoint
from ilab_cli.backends.client.failures import Failure, Kind, delay
from ilab_cli.backends.client.journal import Journal
from ilab_cli.backends.client.line import Line, Turn, turn
from ilab_cli.backends.client.requests import Answer, EndpointFailed, Payload, Refused, Request
from ilab_cli.backends.client.served_models import find_model, model_names
from ilab_cli.backends.client.settings import EndpointSettings
from ilab_profiles import Finding, InputError

__all__ = ["Client", "key_of"]

_CONNECT = 10.0
"""Seconds after which a connection counts as not to be had."""
_TRIALS = 3
"""Overloads by calls for several samples after which the endpoint counts as one that takes none."""
_RECENT = 10.0
"""Seconds over which the rate of calls is taken."""


class Client:
    """Asks endpoints; an async context manager.

    Args:
        settings: whom to ask, and how hard.
        journal: file of finished calls.

    Attributes:
        calls: calls that were answered, or refused for good.
        retries: calls that were sent again.
        replayed: samples that came from the journal.
        cut: samples that ended at ``max_tokens``.
        said: what the endpoint said last, by reason.
        model: name of the model that is asked.

    Raises:
        InputError: if an address, the key or the journal cannot be used.
        EndpointFailed: on entering, if no endpoint is reachable, the key is refused, or no model can be found.
    """

    def __init__(self, settings: EndpointSettings, journal: Path) -> None:
        self.settings = settings
        self.calls = self.retries = self.replayed = self.cut = 0
        self.said: dict[str, str] = {}
        self.model = settings.model
        self._urls = base_urls(settings.address, settings.settings.address)
        self._key = key_of(settings)
        self._journal = Journal(journal)
        self._exits = AsyncExitStack()
        self._honours_n: bool | None = None  # nobody knows yet
        self._trials = 0
        self._recent: deque[float] = deque()
        self._begun = monotonic()
        self.line = Line([], 0)

    async def __aenter__(self) -> Client:
        async with AsyncExitStack() as exits:
            await exits.enter_async_context(self._journal)
            session = await exits.enter_async_context(self._session())
            endpoints = [Endpoint(url, session, self._key, self.settings) for url in self._urls]
            self.line = Line(endpoints, self.settings.max_concurrency)
            self.model = await find_model(self.line.endpoints, self.settings)
            self._exits = exits.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._exits.aclose()

    @property
    def in_flight(self) -> int:
        """Calls under way."""
        return self.line.in_flight

    @property
    def limit(self) -> int:
        """Calls that may be under way now, at all endpoints together."""
        return min(self.line.most, sum(int(endpoint.capacity.limit) for endpoint in self.line.endpoints))

    @property
    def troubles(self) -> list[str]:
        """The endpoints that do not answer now: why, and when the next try is."""
        now = monotonic()
        return [
            f"{each.url} does not answer: {each.trouble}; next try in {max(each.back_at - now, 0):.0f} s"
            for each in self.line.endpoints
            if each.pauses
        ]

    @property
    def learned(self) -> list[str]:
        """What endpoints wanted said otherwise, in words: it may change what a model answers."""
        return list(dict.fromkeys(note for endpoint in self.line.endpoints for note in endpoint.learned))

    @property
    def calls_per_second(self) -> float:
        """Answered calls a second, over the last ten seconds."""
        now = monotonic()
        self._forget_old(now)
        return len(self._recent) / min(_RECENT, max(now - self._begun, 1.0))

    def _forget_old(self, now: float) -> None:
        while self._recent and self._recent[0] < now - _RECENT:
            self._recent.popleft()

    async def ask(self, request: Request, samples: int = 1) -> list[Answer | Refused]:
        """What became of each sample, in their order.

        Raises:
            Stopped: if the run must stop.
        """
        if turn.get() is None:  # a row works in a task of its own, whose parts inherit its turn
            turn.set(Turn())
        payload = Payload(request, self.model)
        found: dict[int, Answer | Refused] = {}
        for sample in range(samples):
            if answer := self._journal.get(payload.key(sample)):
                found[sample] = answer
        self.replayed += len(found)
        missing = [sample for sample in range(samples) if sample not in found]
        if len(missing) > 1 and self._honours_n is not False:
            found |= await self._ask_together(payload, missing)
            missing = [sample for sample in missing if sample not in found]
        found |= await self._ask_singly(payload, missing)
        return [found[sample] for sample in range(samples)]

    async def _ask_together(self, payload: Payload, samples: Sequence[int]) -> Mapping[int, Answer | Refused]:
        """What one call for several samples brings; those that it lacks are to be asked for one by one."""
        try:
            found = await self._call(payload, samples)
        except Failure as failed:
            if self._honours_n and failed.kind is Kind.OVERLOAD:
                return dict.fromkeys(samples, Refused(failed.reason))
            self._trials += 1 if failed.kind is Kind.OVERLOAD else _TRIALS
            if not self._honours_n and self._trials >= _TRIALS:
                self._honours_n = False
            return {}
        self._honours_n = len(found) > 1
        return found

    async def _ask_singly(self, payload: Payload, samples: Sequence[int]) -> Mapping[int, Answer | Refused]:
        """What becomes of each sample, asked for alone and all at the same time."""

        async def one(sample: int) -> Answer | Refused:
            try:
                return (await self._call(payload, [sample]))[sample]
            except Failure as failed:
                return Refused(failed.reason)

        if len(samples) < 2:  # a task costs more than a call
            return {sample: await one(sample) for sample in samples}
        try:
            async with asyncio.TaskGroup() as group:
                tasks = {sample: group.create_task(one(sample)) for sample in samples}
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None
        return {sample: task.result() for sample, task in tasks.items()}

    async def _call(self, payload: Payload, samples: Sequence[int]) -> dict[int, Answer]:
        """One call, sent until it is answered; its answers are in the journal then.

        Raises:
            Failure: if it is given up.
        """
        content = payload.content(samples[0], len(samples))
        place = turn.get() or Turn()
        failures = 0
        while True:
            endpoint = await self.line.claim(place, content)
            dialect = endpoint.dialect(payload.model)
            sent = dialect.adapt(content)
            try:
                answers = await endpoint.call(payload.path, sent, payload.request.block, payload.request.read)
            except Failure as error:
                failed = error
            else:
                place.calls += 1
                return self._keep(payload, dict(zip(samples, answers, strict=False)))
            finally:
                self.line.advance()
            dialect.learn(failed, content)
            if dialect.adapt(content) != sent:
                self.retries += 1
                continue
            failures += failed.counts
            is_trial = len(samples) > 1 and not self._honours_n and failed.kind is not Kind.UNREACHABLE
            await self._judge(failed, endpoint, payload.model, give_up=is_trial or failures > self.settings.max_retries)
            self.retries += 1
            if failed.counts:
                await asyncio.sleep(delay(failures))

    async def _judge(self, failed: Failure, endpoint: Endpoint, model: str, *, give_up: bool) -> None:
        """Raise what a failed call comes to; return if it is to be sent again."""
        if failed.kind is Kind.KEY:
            raise EndpointFailed(f"{endpoint.url} refuses the key ({self.settings.settings.key}): {failed}")
        if failed.kind is Kind.NOT_FOUND or (failed.kind is Kind.WRONG and "model" in failed.detail.lower()):
            await self._judge_model(failed, endpoint, model)
        if all(each.lost for each in self.line.endpoints):
            troubles = (f"{each.url}: {each.trouble}" for each in self.line.endpoints)
            raise EndpointFailed(f"no endpoint answers any more: {'; '.join(troubles)}")
        if failed.kind is Kind.WRONG or give_up:
            self.calls += 1
            self.said[failed.reason] = failed.detail
            raise failed

    async def _judge_model(self, failed: Failure, endpoint: Endpoint, model: str) -> None:
        """Stop if the endpoint does not serve the model, or nothing at its address takes calls."""
        names = await model_names(endpoint)
        if names and model not in names:
            raise EndpointFailed(f"{endpoint.url} does not serve the model {model!r}; it serves: {', '.join(names)}")
        if failed.kind is Kind.NOT_FOUND:
            raise EndpointFailed(f"{endpoint.url} is not such an endpoint, or does not serve {model!r}: {failed}")

    def _keep(self, payload: Payload, answers: dict[int, Answer]) -> dict[int, Answer]:
        """Put answers into the journal, and count them."""
        self.calls += 1
        now = monotonic()
        self._recent.append(now)
        self._forget_old(now)
        for sample, answer in answers.items():
            about = {"row": payload.request.row, "block": payload.request.block, "sample": sample}
            self._journal.put(payload.key(sample), answer, about)
            self.cut += answer.finish_reason == "length"
        return answers

    def _session(self) -> aiohttp.ClientSession:
        seconds = self.settings.request_timeout
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self.settings.max_concurrency),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Content-Type": "application/json"},
            timeout=aiohttp.ClientTimeout(total=seconds, sock_connect=min(seconds, _CONNECT)),
        )


def key_of(settings: EndpointSettings) -> str:
    """The key for the endpoints; empty if there is none.

    Raises:
        InputError: if it cannot be sent.
    """
    key = settings.key.strip()
    if not key.isascii() or not key.isprintable():
        raise InputError(Finding("api-key", "the key must be printable ASCII text", settings.settings.key))
    return key
