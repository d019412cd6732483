"""A stub of an OpenAI-compatible endpoint: so many slots, log-normal latencies, and every fault on demand.

It answers with an echo, so that a test sees which answer belongs to which question. In a test it runs beside the client
(``async with Stub() as stub``); ``python -m tests.ilab_cli.backends.generate.stub`` runs it in a process of its own,
for benchmarks and for clients that are killed. It knows nothing of the client.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import json
import math
import random
import signal
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web

SIGMA = 0.6
_STATUSES = {"429", "500", "503", "401", "400"}


@dataclass
class Stub:
    """The endpoint.

    Args:
        slots: calls that are worked on at once; others wait in line, or get a 429 where ``strict`` is set.
        mean: mean latency of a call, in seconds; it is drawn from a log-normal distribution with sigma 0.6.
        share: share of calls that get ``fault``, drawn at random.
        occupying: whether calls with that fault take a slot and time like all others.
        honours_n: whether it gives as many choices as it is asked for.
        key: key that it wants.
        models: names that it serves.
        faults: faults of the next calls, one each; an empty text is none.
        loading: status that whoever asks for its models gets; none if empty.
    """

    slots: int = 64
    mean: float = 0.0
    share: float = 0.0
    fault: str = "503"
    occupying: bool = False
    strict: bool = False
    honours_n: bool = True
    key: str = ""
    models: tuple[str, ...] = ("teacher",)
    loading: str = ""
    port: int = 0
    seed: int = 0
    faults: deque[str] = field(default_factory=deque)
    asked: list[dict[str, Any]] = field(default_factory=list)
    answered: Counter[str] = field(default_factory=Counter)
    service: float = 0.0
    refused: int = 0
    in_flight: int = 0
    most_in_flight: int = 0

    def __post_init__(self) -> None:
        self._free = asyncio.Semaphore(self.slots)
        self._random = random.Random(self.seed)
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=2**26)
        app.router.add_post("/v1/chat/completions", self._call)
        app.router.add_post("/v1/completions", self._call)
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/stats", self._stats)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, backlog=1024)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner:
            await close(self._runner)

    async def _models(self, request: web.Request) -> web.Response:
        if refused := self._refuses_key(request):
            return refused
        if self.loading:
            return _error(int(self.loading), "not now", {"Location": "http://there/v1/models"})
        return web.json_response({"object": "list", "data": [{"id": name} for name in self.models]})

    async def _stats(self, request: web.Request) -> web.Response:
        return web.json_response(
            {"service": self.service, "answered": self.answered, "refused": self.refused, "most": self.most_in_flight}
        )

    async def _call(self, request: web.Request) -> web.StreamResponse:
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            return await self._answer(request, await request.read())
        finally:
            self.in_flight -= 1

    async def _answer(self, request: web.Request, content: bytes) -> web.StreamResponse:
        body = json.loads(content)
        if refused := self._refuses_key(request):
            return refused
        if body["model"] not in self.models:
            return _error(404, f"The model `{body['model']}` does not exist.")
        fault = self.faults.popleft() if self.faults else ""
        if not fault and self.share and self._random.random() < self.share:
            fault = self.fault
        if not fault and self.strict and self._free.locked():
            fault = "429"
        if fault and not self.occupying:
            return await self._fail(request, fault)
        async with self._free:
            seconds = self._random.lognormvariate(math.log(self.mean) - SIGMA**2 / 2, SIGMA) if self.mean else 0.0
            self.service += seconds
            await asyncio.sleep(seconds)
        if fault:
            return await self._fail(request, fault)
        self.asked.append(body)
        self.answered[hashlib.sha256(content).hexdigest()[:16]] += 1
        number = body.get("n", 1) if self.honours_n else 1
        return web.json_response({"choices": [_choice(body, sample) for sample in range(number)]})

    def _refuses_key(self, request: web.Request) -> web.Response | None:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        return _error(401, f"Incorrect API key provided: {given}") if self.key and given != self.key else None

    async def _fail(self, request: web.Request, fault: str) -> web.StreamResponse:
        """A fault: a status, perhaps with ``=`` and a Retry-After, or a name of one of the others."""
        self.refused += 1
        status, _, wait = fault.partition("=")
        if status in _STATUSES:
            return _error(int(status), "not now", {"Retry-After": wait} if wait else {})
        if fault == "hang":
            await asyncio.sleep(3600)
        if fault == "reset":
            return await _reset(request)
        if fault == "html":
            return web.Response(text="<html><body><h1>Welcome</h1></body></html>", content_type="text/html")
        data = {
            "empty": {"choices": []},
            "null": {"choices": [{"message": {"content": None}, "finish_reason": "tool_calls"}]},
            "length": {"choices": [{"message": {"content": "cut sho"}, "finish_reason": "length"}]},
            "truncated": {"choices": [{"message": {"content": "never whole"}}]},
        }[fault]
        text = json.dumps(data)
        return web.Response(text=text[:-9] if fault == "truncated" else text, content_type="application/json")


def _choice(body: dict[str, Any], sample: int) -> dict[str, Any]:
    asked = body["messages"][-1]["content"] if "messages" in body else body["prompt"]
    text = f"{asked} / {body.get('seed', 0) + sample}"
    said = {"message": {"role": "assistant", "content": text}} if "messages" in body else {"text": text}
    return {"index": sample, "finish_reason": "stop", **said}


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.json_response({"error": {"message": message}}, status=status, headers=headers)


async def _reset(request: web.Request) -> web.StreamResponse:
    """Promise a thousand bytes, send a few, and break off."""
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b'{"choices": [')
    if request.transport:
        request.transport.abort()
    return response


async def close(runner: web.AppRunner) -> None:
    """Stop a server whose clients are gone.

    The connections that they left in the queue are accepted first: asyncio cannot make one of a server that is closed,
    and leaves its socket open, which is a warning.
    """
    for _ in range(5):  # turns of the loop, more than it takes from the queue to the protocol
        await asyncio.sleep(0)
    await runner.cleanup()


async def _serve(options: dict[str, Any]) -> None:
    async with Stub(**options) as stub:
        print(stub.port, flush=True)
        stop = asyncio.Event()
        for name in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(name, stop.set)
        await stop.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Serve the stub; its port is printed, GET /stats tells what it did.")
    parser.add_argument("--slots", type=int, default=64)
    parser.add_argument("--mean", type=float, default=0.5)
    parser.add_argument("--share", type=float, default=0.0)
    parser.add_argument("--fault", default="503")
    parser.add_argument("--occupying", action="store_true")
    parser.add_argument("--strict", action="store_true")
    parser.add_argument("--port", type=int, default=0)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(vars(parser.parse_args())))
