"""What the tests of the client share: a run against stubs, from start to end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar

from ilab_cli.backends.client import Client
from ilab_cli.backends.client.requests import Answer, Refused, Request
from ilab_cli.backends.generate.teacher import endpoint_settings
from ilab_profiles import Generate
from tests.ilab_cli.backends.generate.stub import Stub

T = TypeVar("T")


def request(row: int | str = 0, text: str = "What is a comet?", block: str = "questions", **body: Any) -> Request:
    return Request(str(row), block, {"messages": [{"role": "user", "content": text}], "max_tokens": 64, **body})


def texts(outcomes: Iterable[Answer | Refused]) -> list[str]:
    """The texts of answers, none of which was refused."""
    answers = [outcome for outcome in outcomes if isinstance(outcome, Answer)]
    assert answers == outcomes
    return [answer.text for answer in answers]


def against(
    stubs: Stub | list[Stub], journal: Path, work: Callable[[Client], Awaitable[T]], **settings: Any
) -> tuple[T, Client]:
    """What ``work`` gives with a client of the stubs, and the client as it was at the end."""

    async def run() -> tuple[T, Client]:
        async with AsyncExitStack() as exits:
            every = [await exits.enter_async_context(stub) for stub in (stubs if isinstance(stubs, list) else [stubs])]
            given = {"model_endpoint_url": ",".join(stub.url for stub in every), "request_timeout": 5.0} | settings
            client = await exits.enter_async_context(Client(endpoint_settings(Generate.model_validate(given)), journal))
            return await asyncio.wait_for(work(client), 50), client

    return asyncio.run(run())
