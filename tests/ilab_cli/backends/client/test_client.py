"""The client against a sound endpoint: what is sent, what comes back, and how the work is shared."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import groupby
from pathlib import Path

import pytest

from ilab_cli.backends.client import Client, stream
from ilab_cli.backends.client.addresses import base_urls, proxy_for
from ilab_cli.backends.client.requests import Answer, EndpointFailed, Refused, Request
from ilab_profiles import InputError
from tests.ilab_cli.backends.generate.asking import against, request, texts
from tests.ilab_cli.backends.generate.stub import Stub


def ask(*requests: Request, samples: int = 1) -> Callable[[Client], Awaitable[list[list[Answer | Refused]]]]:
    """Work that asks all requests at once."""

    async def work(client: Client) -> list[list[Answer | Refused]]:
        return list(await asyncio.gather(*(client.ask(each, samples) for each in requests)))

    return work


@pytest.mark.parametrize(
    ("written", "url"),
    [
        ("127.0.0.1:8000", "http://127.0.0.1:8000/v1"),
        ("localhost:8000/", "http://localhost:8000/v1"),
        ("http://teacher:8000", "http://teacher:8000/v1"),
        ("http://teacher:8000/v1/", "http://teacher:8000/v1"),
        ("https://teacher.example/v1", "https://teacher.example/v1"),
        ("https://teacher.example", "https://teacher.example/v1"),
        ("http://teacher:8000/v1/chat/completions", "http://teacher:8000/v1"),
        ("https://teacher.example/api/openai", "https://teacher.example/api/openai"),
        ("[::1]:8000", "http://[::1]:8000/v1"),
    ],
)
def test_an_address_may_be_written_in_many_ways(written: str, url: str) -> None:
    assert base_urls(written, "generate.model_endpoint_url") == [url]


def test_several_addresses_have_commas_between_them() -> None:
    assert base_urls("a:1, http://b:2/v1,a:1,", "generate.model_endpoint_url") == ["http://a:1/v1", "http://b:2/v1"]


def test_every_wrong_address_is_found_and_no_password_is_shown() -> None:
    with pytest.raises(InputError) as caught:
        base_urls("ftp://a, ok:1, b:notaport, http://user:geheim@c:1, http://d:1?x=2, ", "generate.model_endpoint_url")
    assert len(caught.value.findings) == 4
    assert "geheim" not in str(caught.value)
    with pytest.raises(InputError):
        base_urls(" , ", "generate.model_endpoint_url")


def test_a_proxy_is_for_endpoints_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    assert proxy_for("https://teacher.example/v1") is None
    monkeypatch.setenv("https_proxy", "http://proxy:3128")
    monkeypatch.setenv("no_proxy", "inside.example")
    assert proxy_for("https://teacher.example/v1") == "http://proxy:3128"
    for url in ("https://inside.example/v1", "https://localhost/v1", "https://127.0.0.1:1/v1", "https://[::1]:1/v1"):
        assert proxy_for(url) is None


def test_the_endpoint_gets_the_body_with_the_model_it_serves(tmp_path: Path) -> None:
    stub = Stub(models=("granite", "other"))
    found, client = against(stub, tmp_path / "j", ask(request(stop=["END"], temperature=0.5)))
    assert found == [[Answer("What is a comet? / 0", "stop")]]
    [body] = stub.asked
    assert body == {
        "model": "granite",
        "messages": [{"role": "user", "content": "What is a comet?"}],
        "max_tokens": 64,
        "stop": ["END"],
        "temperature": 0.5,
    }
    assert (client.model, client.calls, client.retries, client.in_flight) == ("granite", 1, 0, 0)


def test_a_raw_prompt_goes_to_the_completions(tmp_path: Path) -> None:
    stub = Stub()
    found, _ = against(stub, tmp_path / "j", ask(Request("1", "b", {"prompt": "Once", "max_tokens": 5})))
    assert found == [[Answer("Once / 0", "stop")]]


def test_samples_come_in_one_call_where_the_endpoint_honours_n(tmp_path: Path) -> None:
    stub = Stub()
    found, client = against(stub, tmp_path / "j", ask(request(seed=7), samples=3))
    assert [text[-1] for text in texts(found[0])] == ["7", "8", "9"]
    assert client.calls == 1
    assert stub.asked[0]["n"] == 3


def test_an_endpoint_that_ignores_n_is_noticed_and_asked_for_each_sample_alone(tmp_path: Path) -> None:
    stub = Stub(honours_n=False)

    async def work(client: Client) -> list[list[Answer | Refused]]:
        return [await client.ask(request(row, seed=7), 3) for row in range(4)]

    found, client = against(stub, tmp_path / "j", work)
    assert all([text[-1] for text in texts(answers)] == ["7", "8", "9"] for answers in found)
    assert client.calls == 12
    assert sum("n" in body for body in stub.asked) == 1


@pytest.mark.parametrize("fault", ["400", "500"])
def test_an_endpoint_that_refuses_n_is_noticed_at_once_and_asked_for_each_sample_alone(
    fault: str, tmp_path: Path
) -> None:
    stub = Stub(faults=deque([fault]))

    async def work(client: Client) -> list[list[Answer | Refused]]:
        return [await client.ask(request(row), 3) for row in range(4)]

    found, client = against(stub, tmp_path / "j", work)
    assert [len(texts(answers)) for answers in found] == [3] * 4
    assert (client.calls, client.retries) == (13, 0), "one call for several samples, and never again"
    assert not any("n" in body for body in stub.asked)


@pytest.mark.parametrize("fault", ["500", "503"])
def test_calls_for_several_samples_that_fail_together_are_not_tried_again(fault: str, tmp_path: Path) -> None:
    stub = Stub(faults=deque([fault] * 8), mean=0.01)
    found, client = against(stub, tmp_path / "j", ask(*(request(row) for row in range(8)), samples=4))
    assert [len(texts(answers)) for answers in found] == [4] * 8
    assert client.retries == 0
    assert not any("n" in body for body in stub.asked)


def test_an_endpoint_that_honours_n_is_asked_so_again_after_a_fault(tmp_path: Path) -> None:
    stub = Stub(faults=deque(["", "500"]))

    async def work(client: Client) -> list[list[Answer | Refused]]:
        return [await client.ask(request(row), 3) for row in range(4)]

    found, client = against(stub, tmp_path / "j", work)
    assert [len(texts(answers)) for answers in found] == [3] * 4
    assert (client.calls, client.retries) == (4, 1)


def test_what_became_of_each_sample_stands_in_its_place(tmp_path: Path) -> None:
    stub = Stub(honours_n=False, faults=deque(["", "400"]))
    found, _ = against(stub, tmp_path / "j", ask(request(seed=7), samples=3), max_concurrency=1)
    assert [outcome.text[-1] if isinstance(outcome, Answer) else outcome for outcome in found[0]] == [
        *("7", Refused("HTTP 400"), "9")
    ]


def test_calls_in_flight_never_exceed_the_setting(tmp_path: Path) -> None:
    stub = Stub(slots=64, mean=0.02)
    _, client = against(stub, tmp_path / "j", ask(*(request(row) for row in range(200))), max_concurrency=9)
    assert stub.most_in_flight == 9
    assert client.limit == 9


def test_the_limit_finds_an_endpoint_that_refuses_what_is_too_much(tmp_path: Path) -> None:
    stub = Stub(slots=8, mean=0.02, strict=True)
    _, client = against(stub, tmp_path / "j", ask(*(request(row) for row in range(600))), max_concurrency=200)
    assert len(stub.asked) == 600
    assert client.limit <= 12
    assert stub.refused < 200


def test_endpoints_share_the_work_by_what_they_can_do(tmp_path: Path) -> None:
    slow, quick = Stub(mean=0.1, slots=2), Stub(mean=0.01, slots=50)
    against([slow, quick], tmp_path / "j", ask(*(request(row) for row in range(300))), max_concurrency=40)
    assert len(slow.asked) + len(quick.asked) == 300
    assert len(quick.asked) > 2 * len(slow.asked) > 0


def test_calls_that_begin_alike_are_sent_together_and_rows_that_are_less_far_first(tmp_path: Path) -> None:
    stub = Stub(mean=0.001)

    async def work(client: Client) -> None:
        async def row(number: int) -> None:
            for block in ("first", "second"):
                await client.ask(request(number, f"document {number % 3}, {block} of {number}", block))

        async for _ in stream.run(partial(next, iter(range(20)), None), row, 20):
            pass

    against(stub, tmp_path / "j", work, max_concurrency=1)
    asked = [body["messages"][-1]["content"] for body in stub.asked][1:]  # the first went before any waited
    blocks, documents = [text.split()[2] for text in asked], [text.split(",")[0] for text in asked]
    assert blocks == ["first"] * 19 + ["second"] * 20
    for block in (documents[:19], documents[19:]):
        assert len([*groupby(block)]) == 3


def test_a_stream_gives_results_as_they_finish_and_takes_rows_that_come_later() -> None:
    rows = [0.2, 0.01, 0.02]
    later = [0.03]

    async def work() -> list[float]:
        found = []

        async def wait(seconds: float) -> float:
            await asyncio.sleep(seconds)
            return seconds

        async for row, result in stream.run(lambda: rows.pop(0) if rows else None, wait, 2):
            assert row == result
            found.append(result)
            rows.extend(later)
            later.clear()
        return found

    assert asyncio.run(work()) == [0.01, 0.02, 0.03, 0.2]


def test_no_model_named_and_none_served_says_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(EndpointFailed, match=r"set generate\.model"):
        against(Stub(models=()), tmp_path / "j", ask(request()))


def test_a_key_that_cannot_be_sent_is_refused_without_showing_it(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        against(Stub(), tmp_path / "j", ask(request()), api_key="geheim\nX-Other: 1")
    assert "geheim" not in str(caught.value)
