"""What an endpoint refuses to be told is learned from its refusal, once, and said otherwise from then on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ilab_cli.backends.client import Client
from ilab_cli.backends.client.dialect import Dialect, merged
from ilab_cli.backends.client.failures import failure
from ilab_cli.backends.client.requests import Answer, Refused, Request
from ilab_cli.backends.client.settings import Asked, EndpointSettings
from tests.ilab_cli.backends.endpoint import Body, Endpoint

SYSTEM, USER = {"role": "system", "content": "Be fair.\n\n"}, {"role": "user", "content": "Rate it."}


def reasoning(body: Body) -> str | tuple[int, str]:
    """Refuses as models that reason do at OpenAI, one thing after the other."""
    if "max_tokens" in body:
        message = "'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
        return 400, f"Unsupported parameter: {message}"
    if body.get("temperature", 1) != 1:
        return 400, "Unsupported value: 'temperature' does not support 0.0 with this model. Only 1 is supported."
    return "8"


def no_system(message: str, status: int = 400) -> Callable[[Body], str | tuple[int, str]]:
    return lambda body: (status, message) if body["messages"][0]["role"] == "system" else "8"


def asked(endpoint: Endpoint, journal: Path, number: int = 3, **more: Any) -> tuple[list[Answer | Refused], Client]:
    """What becomes of requests, one after the other."""
    settings = EndpointSettings(endpoint.url, Asked("a", "k", "m", "t"), max_retries=1)

    async def run() -> tuple[list[Answer | Refused], Client]:
        async with Client(settings, journal) as client:
            body = {"messages": [SYSTEM, USER], "max_tokens": 9, "temperature": 0.0, "seed": 1, **more}
            found = [each for row in range(number) for each in await client.ask(Request(str(row), "b", body))]
            return found, client

    return asyncio.run(run())


def test_a_model_that_reasons_is_asked_wrongly_once(tmp_path: Path) -> None:
    with Endpoint(reasoning) as endpoint:
        found, client = asked(endpoint, tmp_path / "j")
    assert found == [Answer("8", "stop")] * 3
    assert len(endpoint.refused) == 2  # one for each of the two things that it refuses
    assert all(body["max_completion_tokens"] == 9 and "temperature" not in body for body in endpoint.asked)
    assert all(body["seed"] == 1 for body in endpoint.asked)
    assert client.learned == [
        f"{endpoint.url}/v1 takes max_completion_tokens instead of max_tokens",
        f"{endpoint.url}/v1 takes no temperature",
    ]


@pytest.mark.parametrize(
    ("message", "status"),
    [
        ("System role not supported", 400),
        ("Unsupported value: 'messages[0].role' does not support 'system' with this model.", 400),
        ("Conversation roles must alternate user/assistant/user/assistant/...", 400),
        ("Only user and assistant roles are supported!", 400),
        ("jinja2.exceptions.TemplateError: System role not supported", 500),
    ],
)
def test_without_a_system_role_its_text_begins_the_turn_of_the_user(message: str, status: int, tmp_path: Path) -> None:
    with Endpoint(no_system(message, status)) as endpoint:
        found, _ = asked(endpoint, tmp_path / "j")
    assert found == [Answer("8", "stop")] * 3
    assert len(endpoint.refused) == 1
    assert [body["messages"] for body in endpoint.asked] == [[{"role": "user", "content": "Be fair.\n\nRate it."}]] * 3


def test_a_field_that_pydantic_forbids_is_left_out(tmp_path: Path) -> None:
    forbidden = json.dumps([{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs not permitted"}])
    with Endpoint(lambda body: (422, forbidden) if "seed" in body else "8") as endpoint:
        found, _ = asked(endpoint, tmp_path / "j")
    assert found == [Answer("8", "stop")] * 3
    assert len(endpoint.refused) == 1


@pytest.mark.parametrize(
    "message",
    [
        "'max_tokens' is too large: 9. This model's maximum context length is 8 tokens.",
        "temperature: Input should be less than or equal to 2",
        "This feature is not supported",
        "After the optional system message, conversation roles must alternate user/assistant/user/assistant/...",
    ],
)
def test_other_refusals_stay_refusals(message: str, tmp_path: Path) -> None:
    with Endpoint(lambda _: (400, message)) as endpoint:
        found, client = asked(endpoint, tmp_path / "j", 2)
    assert found == [Refused("HTTP 400")] * 2
    assert client.learned == []
    assert len(endpoint.refused) == 2


def test_what_was_learned_does_not_change_what_the_journal_knows(tmp_path: Path) -> None:
    with Endpoint(reasoning) as endpoint:
        asked(endpoint, tmp_path / "j")
        _, again = asked(endpoint, tmp_path / "j")
    assert (again.replayed, again.calls, len(endpoint.asked)) == (3, 0, 3)


def test_calls_that_were_under_way_are_sent_again_too(tmp_path: Path) -> None:
    with Endpoint(reasoning, seconds=0.05) as endpoint:
        settings = EndpointSettings(endpoint.url, Asked("a", "k", "m", "t"), max_retries=0)

        async def run() -> list[list[Answer | Refused]]:
            async with Client(settings, tmp_path / "j") as client:
                body = {"messages": [USER], "max_tokens": 9, "temperature": 0.0}
                return await asyncio.gather(*(client.ask(Request(str(row), "b", body)) for row in range(8)))

        assert asyncio.run(run()) == [[Answer("8", "stop")]] * 8


def test_nothing_is_merged_where_there_is_nothing_to_merge() -> None:
    assert merged([USER]) == [USER]
    assert merged([]) == []
    dialect, content = Dialect(), json.dumps({"messages": [USER]}).encode()
    dialect.learn(failure(400, {}, b"System role not supported"), content)
    assert dialect.learned == []
    assert dialect.adapt(content) is content
