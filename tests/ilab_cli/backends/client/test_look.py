"""A look at endpoints before a run says who is away, refuses the key, or does not serve the model."""

from __future__ import annotations

from ilab_cli.backends.client.look import look
from ilab_cli.backends.client.settings import Asked, EndpointSettings
from tests.ilab_cli.backends.endpoint import Endpoint

ASKED = Asked("my.address", "my.key", "my.model", "my.timeout")
AWAY = "http://127.0.0.1:9"  # discard: nothing listens there


def rules(address: str, model: str = "", key: str = "") -> list[tuple[str, str, str]]:
    found = look(EndpointSettings(address, ASKED, model, key)).findings
    return [(each.rule, each.path, each.severity) for each in found]


def test_a_sound_endpoint_names_its_models() -> None:
    with Endpoint(lambda _: "") as endpoint:
        seen = look(EndpointSettings(endpoint.url, ASKED, "m"))
    assert (seen.models, seen.findings) == (("m",), ())


def test_one_that_is_away_is_an_error_unless_there_is_another() -> None:
    assert rules(AWAY) == [("endpoint-away", "my.address", "error")]
    with Endpoint(lambda _: "") as endpoint:
        assert rules(f"{endpoint.url},{AWAY}") == [("endpoint-away", "my.address", "warning")]


def test_a_key_that_is_refused_is_not_shown() -> None:
    with Endpoint(lambda _: "", key="right") as endpoint:
        (found,) = look(EndpointSettings(endpoint.url, ASKED, "", "wrong")).findings
        assert (found.rule, found.path) == ("key-refused", "my.key")
        assert "wrong" not in str(found)
        assert rules(endpoint.url, key="right") == []
    assert rules("http://x", key="ключ") == [("api-key", "my.key", "error")]


def test_a_model_that_is_not_served_is_told_with_those_that_are() -> None:
    with Endpoint(lambda _: "", models=("a", "b")) as endpoint:
        (found,) = look(EndpointSettings(endpoint.url, ASKED, "c")).findings
        assert rules(endpoint.url, "b") == []
    assert (found.rule, found.path, found.hint) == ("model-not-served", "my.model", "served there: a, b")


def test_an_endpoint_that_does_not_say_is_taken_to_be_sound() -> None:
    with Endpoint(lambda _: "", models=()) as endpoint:
        assert rules(endpoint.url, "c") == []


def test_what_is_no_address_is_refused() -> None:
    assert rules("ftp://x") == [("endpoint-url", "my.address", "error")]
