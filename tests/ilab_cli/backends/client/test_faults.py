"""Everything that an endpoint may do wrong, and what becomes of it."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
import traceback
from collections import deque
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from time import monotonic

import pytest

from ilab_cli.backends.client import Client, failures
from ilab_cli.backends.client.failures import Failure, answers, failure, message, retry_after
from ilab_cli.backends.client.requests import Answer, EndpointFailed, Refused
from ilab_cli.backends.generate.teacher import endpoint_settings
from ilab_profiles import Generate
from tests.ilab_cli.backends.generate.asking import against, request
from tests.ilab_cli.backends.generate.stub import Stub

KEY = "sk-geheim"
RIGHT = [Answer("What is a comet? / 0", "stop")]


async def one(client: Client) -> list[Answer | Refused]:
    return await client.ask(request())


@pytest.mark.parametrize("fault", ["429", "500", "503", "reset", "hang", "truncated", "empty", "html", "null"])
def test_a_call_that_fails_twice_is_tried_again(fault: str, tmp_path: Path) -> None:
    stub = Stub(faults=deque([fault] * 2))
    outcomes, client = against(stub, tmp_path / "j", one, request_timeout=0.4)
    assert outcomes == RIGHT
    assert (client.calls, client.retries, client.said) == (1, 2, {})


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("500", "HTTP 500"),
        ("truncated", "answer is not whole JSON"),
        ("empty", "answer with no choice in it"),
        ("html", "answer is a web page"),
        ("null", "answer without text"),
    ],
)
def test_a_call_that_keeps_failing_is_refused_and_counted(fault: str, reason: str, tmp_path: Path) -> None:
    async def work(client: Client) -> list[Answer | Refused]:
        assert await client.ask(request()) == [Refused(reason)]
        assert client.said.keys() == {reason}
        return await client.ask(request("another"))

    assert against(Stub(faults=deque([fault] * 3)), tmp_path / "j", work, max_retries=2)[0] == RIGHT


def test_a_wrong_request_is_refused_at_once_with_what_the_endpoint_says(tmp_path: Path) -> None:
    stub = Stub(faults=deque(["400"]))
    outcomes, client = against(stub, tmp_path / "j", one)
    assert outcomes == [Refused("HTTP 400")]
    assert client.said == {"HTTP 400": "not now"}
    assert stub.refused == 1


def test_an_answer_that_was_cut_short_says_so(tmp_path: Path) -> None:
    outcomes, client = against(Stub(faults=deque(["length"])), tmp_path / "j", one)
    assert outcomes == [Answer("cut sho", "length")]
    assert client.cut == 1


@pytest.mark.parametrize("status", ["429", "503"])
@pytest.mark.parametrize("as_date", [False, True])
def test_the_wait_that_an_endpoint_asks_for_is_obeyed(status: str, as_date: bool, tmp_path: Path) -> None:
    # a date has whole seconds, so the wait is between one and two of them
    wait = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True) if as_date else "1"
    begun = monotonic()
    outcomes, _ = against(Stub(faults=deque([f"{status}={wait}"])), tmp_path / "j", one)
    assert outcomes == RIGHT
    assert monotonic() - begun > 0.9


def test_waits_are_read_as_seconds_and_as_dates() -> None:
    now = datetime(2030, 1, 1, 12, 0, tzinfo=UTC)
    assert retry_after("7", now) == 7
    assert retry_after("Tue, 01 Jan 2030 12:00:09 GMT", now) == 9
    assert retry_after("Tue, 01 Jan 2030 11:00:00 GMT", now) == 0
    assert retry_after("soon", now) is None
    assert retry_after("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", now) is None
    assert retry_after(None, now) is None


def test_an_endpoint_that_refuses_everything_is_left_alone_for_the_wait_it_asks_for(tmp_path: Path) -> None:
    stub = Stub(faults=deque(["429=2"] * 16), mean=0.01)

    async def work(client: Client) -> int:
        rows = [asyncio.create_task(client.ask(request(row))) for row in range(300)]
        await asyncio.sleep(1.5)
        meanwhile = stub.refused + len(stub.asked)
        await asyncio.gather(*rows)
        return meanwhile

    meanwhile, _ = against(stub, tmp_path / "j", work)
    assert meanwhile == 16
    assert len(stub.asked) == 300


def test_one_wait_that_an_endpoint_asks_for_is_obeyed_by_every_call(tmp_path: Path) -> None:
    stub = Stub(faults=deque(["", "429=1"]), mean=0.3, slots=64)

    async def work(client: Client) -> tuple[int, int]:
        first = asyncio.create_task(client.ask(request("slow")))
        await asyncio.sleep(0.05)
        rows = [first, asyncio.create_task(client.ask(request("refused")))]
        await asyncio.sleep(0.05)
        rows += [asyncio.create_task(client.ask(request(row))) for row in range(30)]
        await asyncio.sleep(0.75)  # the slow one is answered meanwhile, which lifts nothing
        meanwhile = stub.refused + len(stub.asked) + stub.in_flight
        return meanwhile, len(await asyncio.gather(*rows))

    (meanwhile, answered), _ = against(stub, tmp_path / "j", work)
    assert meanwhile == 2
    assert answered == 32


def test_an_endpoint_that_asks_for_a_very_long_wait_is_not_waited_for(tmp_path: Path) -> None:
    with pytest.raises(EndpointFailed, match=r"no endpoint answers any more: .*HTTP 429: not now"):
        against(Stub(faults=deque(["429=3600"])), tmp_path / "j", one)
    closed, open_ = Stub(faults=deque(["429=3600"] * 99)), Stub()

    async def many(client: Client) -> list[list[Answer | Refused]]:
        return list(await asyncio.gather(*(client.ask(request(row)) for row in range(20))))

    outcomes, client = against([closed, open_], tmp_path / "other", many)
    assert len(outcomes) == 20
    assert not client.said


def test_an_endpoint_that_is_not_ready_at_the_start_is_asked_again(tmp_path: Path) -> None:
    async def loading(stub: Stub) -> None:
        await asyncio.sleep(0.3)
        stub.loading = ""

    stub = Stub(loading="503")

    async def run() -> list[Answer | Refused]:
        async with stub:
            ready = asyncio.create_task(loading(stub))
            async with Client(endpoint_settings(Generate(model_endpoint_url=stub.url)), tmp_path / "j") as client:
                await ready
                return await client.ask(request())

    assert asyncio.run(run()) == RIGHT


def test_an_endpoint_that_does_not_name_its_models_is_asked_all_the_same(tmp_path: Path) -> None:
    outcomes, _ = against(Stub(loading="501"), tmp_path / "j", one, model="teacher", max_retries=0)
    assert outcomes == RIGHT


def test_an_endpoint_that_limits_the_rate_is_not_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failures, "_ENDPOINT_MOST", 0.05)
    monkeypatch.setattr(failures, "_CALL_MOST", 0.05)
    stub = Stub(faults=deque(["", *["429"] * 30]))

    async def work(client: Client) -> list[Answer | Refused]:
        await one(client)
        await asyncio.gather(*(client.ask(request(row)) for row in range(30)))
        return await client.ask(request("later"))

    assert against(stub, tmp_path / "j", work, max_retries=2)[0] == RIGHT


@pytest.mark.parametrize(("status", "told"), [("503", "HTTP 503: not now"), ("307", "it is at http://there/v1/models")])
def test_why_no_model_is_known_is_told(status: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(EndpointFailed, match=told):
        against(Stub(loading=status), tmp_path / "j", one, max_retries=1)


def test_nobody_there_at_the_start_is_told_with_the_address(tmp_path: Path) -> None:
    with pytest.raises(EndpointFailed, match=r"http://127\.0\.0\.1:9/v1: no connection"):
        against([], tmp_path / "j", one, model_endpoint_url="127.0.0.1:9")


@pytest.mark.filterwarnings("ignore:Exception ignored in")  # connections that the stub took while it went away
def test_an_endpoint_that_goes_away_and_comes_back_costs_no_row(tmp_path: Path) -> None:
    stub = Stub(mean=0.02, slots=8)

    async def work(client: Client) -> int:
        rows = [asyncio.create_task(client.ask(request(row))) for row in range(200)]
        await asyncio.sleep(0.2)
        await stub.__aexit__()
        await asyncio.sleep(0.5)
        await stub.__aenter__()
        return len(await asyncio.gather(*rows))

    assert against(stub, tmp_path / "j", work, max_retries=3)[0] == 200


def test_an_endpoint_that_stays_away_stops_the_run(tmp_path: Path) -> None:
    stub = Stub()

    async def work(client: Client) -> None:
        await client.ask(request())
        await stub.__aexit__()
        await asyncio.gather(*(client.ask(request(row)) for row in range(1, 50)))

    with pytest.raises(EndpointFailed, match=r"no endpoint answers any more.*refused"):
        against(stub, tmp_path / "j", work, max_retries=1)


def test_the_others_go_on_where_one_endpoint_is_dead_and_it_is_taken_back(tmp_path: Path) -> None:
    dying, sound = Stub(mean=0.01, slots=4), Stub(mean=0.01, slots=4)

    async def work(client: Client) -> int:
        await dying.__aexit__()
        done = len(await asyncio.gather(*(client.ask(request(row)) for row in range(200))))
        assert len(sound.asked) == 200
        await dying.__aenter__()
        await asyncio.sleep(1.5)
        return done + len(await asyncio.gather(*(client.ask(request(row)) for row in range(200, 500))))

    done, client = against([dying, sound], tmp_path / "j", work, max_retries=0)
    assert done == 500
    assert len(dying.asked) > 20
    assert not client.said


def test_a_refused_key_stops_the_run_and_is_never_shown(tmp_path: Path) -> None:
    with pytest.raises(EndpointFailed, match=r"refuses the key .*: HTTP 401: Incorrect API key provided: …") as caught:
        against(Stub(key="right"), tmp_path / "j", one, api_key=KEY)
    assert "geheim" not in "".join(traceback.format_exception(caught.value))


def test_a_key_that_is_refused_later_stops_the_run_at_once(tmp_path: Path) -> None:
    stub = Stub(key=KEY)

    async def work(client: Client) -> None:
        await client.ask(request())
        stub.key = "changed"
        await client.ask(request("next"))

    with pytest.raises(EndpointFailed, match=r"refuses the key .*: HTTP 401") as caught:
        against(stub, tmp_path / "j", work, api_key=KEY)
    assert "geheim" not in "".join(traceback.format_exception(caught.value))
    assert len(stub.asked) == 1


def test_no_part_of_a_key_is_shown_where_a_message_is_cut_off(tmp_path: Path) -> None:
    said = message(b"x" * 195 + KEY.encode() + b"x" * 99, KEY)
    assert len(said) == 200
    assert "sk" not in said
    assert message(b'{"error": "not a\\/\\u0062"}', "a/b") == "not …"


@pytest.mark.parametrize("content", [b"[" * 100_000, b"{" * 100_000 + b'"error"'])
def test_a_body_that_is_nested_too_deep_is_no_answer(content: bytes) -> None:
    with pytest.raises(Failure, match="answer is not whole JSON"):
        answers(content)
    assert failure(500, {}, content).reason == "HTTP 500"


def test_half_a_character_is_replaced_in_answers_and_in_what_was_kept_of_them(tmp_path: Path) -> None:
    body = b'{"choices": [{"message": {"content": "a \\ud83d b \\ud83d\\ude00"}, "finish_reason": "stop"}]}'
    assert answers(body) == [Answer("a \ufffd b \U0001f600", "stop")]
    against(Stub(), tmp_path / "j", one)
    kept = (tmp_path / "j").read_text()
    (tmp_path / "j").write_text(kept.replace("What is a comet? / 0", "\\ud83d"))
    assert against(Stub(), tmp_path / "j", one)[0] == [Answer("\ufffd", "stop")]


@pytest.mark.skipif(not shutil.which("openssl"), reason="no openssl here")
def test_a_certificate_that_nobody_knows_is_told_as_such(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    make = f"openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost -keyout {key} -out {certificate}"
    subprocess.run(make.split(), check=True, capture_output=True)

    async def run() -> None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, key)
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0, ssl=context)
        async with server:
            port = server.sockets[0].getsockname()[1]
            async with Client(
                endpoint_settings(Generate(model_endpoint_url=f"https://127.0.0.1:{port}")), tmp_path / "j"
            ):
                pass

    with pytest.raises(EndpointFailed, match="no secure connection: self-signed certificate"):
        asyncio.run(run())


def test_a_wrong_model_stops_the_run_and_tells_which_are_served(tmp_path: Path) -> None:
    stub = Stub(models=("granite", "mixtral"))
    with pytest.raises(EndpointFailed, match="does not serve the model 'mistral'; it serves: granite, mixtral"):
        against(stub, tmp_path / "j", one, model="mistral")


def test_what_an_endpoint_says_becomes_one_short_line() -> None:
    assert message(b'{"error": {"message": "too\\nlong"}}') == "too long"
    assert message(b'{"detail": "Not Found"}') == "Not Found"
    assert message(b"<html><style>x</style><h1>Bad   Gateway</h1></html>") == "Bad Gateway"
    assert message(b"\x1b[31mred" + b"x" * 999).startswith("[31mredxx")
    assert len(message(b"x" * 999)) == 200


def test_who_does_not_answer_is_known_with_the_next_try(tmp_path: Path) -> None:
    stub = Stub()

    async def work(client: Client) -> list[str]:
        await client.ask(request())
        assert client.troubles == []
        await stub.__aexit__()
        task = asyncio.create_task(client.ask(request(1)))
        await asyncio.sleep(0.3)
        troubles = client.troubles
        task.cancel()
        return troubles

    (told,) = against(stub, tmp_path / "j", work, max_retries=3)[0]
    assert "does not answer: no connection" in told
    assert "next try in" in told
