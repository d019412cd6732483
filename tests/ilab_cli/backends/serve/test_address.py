from __future__ import annotations

import socket

import pytest

from ilab_cli.backends.serve.address import Address, check_port, parse
from ilab_profiles import InputError


@pytest.mark.parametrize(
    ("text", "host", "port", "endpoint"),
    [
        ("127.0.0.1:8000", "127.0.0.1", 8000, "http://127.0.0.1:8000/v1"),
        ("localhost:80", "localhost", 80, "http://localhost:80/v1"),
        ("0.0.0.0:8000", "0.0.0.0", 8000, "http://127.0.0.1:8000/v1"),
        ("[::]:8000", "::", 8000, "http://[::1]:8000/v1"),
        ("[fe80::1]:8000", "fe80::1", 8000, "http://[fe80::1]:8000/v1"),
    ],
)
def test_an_address_is_taken_apart(text: str, host: str, port: int, endpoint: str) -> None:
    address = parse(text)
    assert address == (host, port)
    assert address.endpoint == endpoint


@pytest.mark.parametrize(
    "text",
    [
        "",
        "8000",
        "127.0.0.1",
        ":8000",
        "host:",
        "host:0",
        "host:65536",
        "host:x",
        "::1:8000",
        "http://host:1",
        "h:1/v1",
    ],
)
def test_other_forms_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="bad-address"):
        parse(text)


def test_a_port_in_use_is_told_and_a_free_one_is_not(port: int) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        for host in ("127.0.0.1", "0.0.0.0", "localhost"):
            assert [finding.rule for finding in check_port(Address(host, port))] == ["port-in-use"]
    assert check_port(Address("127.0.0.1", port)) == []


def test_a_host_that_is_not_here_is_told() -> None:
    assert [finding.rule for finding in check_port(Address("192.0.2.1", 8000))] == ["cannot-listen"]
    assert [finding.rule for finding in check_port(Address("no such host", 8000))] == ["unknown-host"]
