"""Where a server listens: ``serve.host_port`` taken apart, its URLs, and whether the port can still be had."""

from __future__ import annotations

import errno
import os
import socket
from typing import NamedTuple
from urllib.parse import urlsplit

from ilab_profiles import Finding, InputError

__all__ = ["Address", "check_port", "listens", "parse"]

_PATIENCE = 10.0  # seconds for one look at a port

_SETTING = "serve.host_port"
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}


class Address(NamedTuple):
    """Host (a name or an IP address, IPv6 without brackets) and port, from 1 to 65535."""

    host: str
    port: int

    @property
    def root(self) -> str:
        """URL at which programs on this machine reach the server, without a path."""
        host = _EVERYWHERE.get(self.host, self.host)
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def endpoint(self) -> str:
        """Base URL of the OpenAI-compatible endpoint."""
        return f"{self.root}/v1"


def parse(host_port: str) -> Address:
    """Take ``HOST:PORT`` apart; an IPv6 address stands in brackets.

    Raises:
        InputError: if it is not of that form.
    """
    try:
        parts = urlsplit(f"//{host_port}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or not port or parts.path or parts.query or parts.fragment or "@" in host_port:
        hint = "write HOST:PORT, for example 127.0.0.1:8000 or [::1]:8000, without http://"
        raise InputError(Finding("bad-address", f"{host_port!r} is not an address to serve at", _SETTING, hint=hint))
    return Address(host, port)


def check_port(address: Address) -> list[Finding]:
    """Why nothing could listen at an address now; nothing if it is free. Listens for no moment itself."""
    try:
        places = socket.getaddrinfo(*address, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        return [Finding("unknown-host", f"no such host here: {address.host}", _SETTING, hint="use 127.0.0.1")]
    problems = [_problem(family, place) for family, *_, place in places]
    if errno.EADDRINUSE in problems:
        message = f"port {address.port} of {address.host} is in use"
        return [Finding("port-in-use", message, _SETTING, hint="stop what listens there, or choose another port")]
    if 0 in problems:  # a name may stand for several addresses; one is enough
        return []
    reason = os.strerror(next(iter(problems)))
    return [Finding("cannot-listen", f"{address.host}:{address.port}: {reason}", _SETTING, hint="use 127.0.0.1:8000")]


def _problem(family: int, place: tuple[object, ...]) -> int:
    """The error number of binding to a place, 0 if it can be bound."""
    try:
        with socket.socket(family, socket.SOCK_STREAM) as attempt:
            if os.name == "posix":  # as servers do: a port whose last connections are still closing is free
                attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            attempt.bind(place)
    except OSError as error:
        return error.errno or errno.EINVAL
    return 0


def listens(host_port: str) -> bool:
    """Whether somebody takes connections at ``HOST:PORT``.

    Raises:
        InputError: if it is not of that form.
    """
    host, port = parse(host_port)
    try:
        with socket.create_connection((_EVERYWHERE.get(host, host), port), timeout=_PATIENCE):
            return True
    except OSError:
        return False
