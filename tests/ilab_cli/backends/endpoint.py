"""A real HTTP server that speaks as an OpenAI-compatible endpoint does; a test says what it answers, or refuses."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from tests.ilab_cli.backends.generate.stub import close

Body = dict[str, Any]
Says = Callable[[Body], str | tuple[int, str]]
"""What is said to a request: a text, or a status and the message of an error."""


class Endpoint:
    """The server, in a thread of its own.

    Args:
        says: what it answers.
        models: names that it serves; none if it does not say.
        key: key that it wants.
        seconds: how long an answer takes.

    Attributes:
        asked: bodies of the calls that were answered.
        refused: bodies of those that were refused.
        begun: how often each body came.
        keys: what came as authorization.
        most: most calls that were under way at the same time.
    """

    def __init__(self, says: Says, models: tuple[str, ...] = ("m",), key: str = "", seconds: float = 0.0) -> None:
        self.says, self.models, self.key, self.seconds = says, models, key, seconds
        self.asked: list[Body] = []
        self.refused: list[Body] = []
        self.begun: Counter[bytes] = Counter()
        self.keys: set[str] = set()
        self.port = self.most = self._under_way = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        asyncio.run_coroutine_threadsafe(close(self._runner), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _start(self) -> None:
        app = web.Application(client_max_size=2**26)
        app.router.add_post("/v1/chat/completions", self._call)
        app.router.add_get("/v1/models", self._models)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]

    def _refuses_key(self, request: web.Request) -> bool:
        return bool(self.key) and request.headers.get("Authorization") != f"Bearer {self.key}"

    async def _models(self, request: web.Request) -> web.Response:
        if self._refuses_key(request):
            return web.json_response({"error": {"message": "wrong key"}}, status=401)
        return web.json_response({"data": [{"id": name} for name in self.models]})

    async def _call(self, request: web.Request) -> web.Response:
        if self._refuses_key(request):
            return web.json_response({"error": {"message": "wrong key"}}, status=401)
        self.begun[await request.read()] += 1
        self.keys.add(request.headers.get("Authorization", ""))
        body = await request.json()
        self._under_way += 1
        self.most = max(self.most, self._under_way)
        await asyncio.sleep(self.seconds)
        self._under_way -= 1
        said = self.says(body)
        if isinstance(said, tuple):
            self.refused.append(body)
            return web.json_response({"error": {"message": said[1]}}, status=said[0])
        self.asked.append(body)
        choice = {"message": {"role": "assistant", "content": said}, "finish_reason": "stop"}
        return web.json_response({"choices": [choice]})
