"""One endpoint: sends it a call over a kept connection, and keeps what is known of its health.

Which call goes where and when is decided in ``line``; what its answers mean, in ``failures``.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic

import aiohttp

from ilab_cli.backends.client.addresses import proxy_for
from ilab_cli.backends.client.capacity import Capacity
from ilab_cli.backends.client.dialect import Dialect
from ilab_cli.backends.client.failures import LONGEST_WAIT, Failure, Kind, answers, failure, pause, piece_of
from ilab_cli.backends.client.requests import Answer, Reader
from ilab_cli.backends.client.settings import EndpointSettings

__all__ = ["Endpoint"]

_CONNECT = 10.0
"""Seconds after which a connection for a stream counts as not to be had."""
_IN_A_ROW = 4
"""Refusals with no answer between them, and more than there are calls under way, after which it is set aside."""


class Endpoint:
    """A base URL such as ``http://127.0.0.1:8000/v1``, and how it has behaved.

    Args:
        url: the base URL.
        session: sends the calls; holds the time-out.
        key: the key that calls carry; empty if there is none. What the endpoint says of it is never shown.
        settings: how many calls may ever be in flight here, and after how many attempts it counts as lost.

    Attributes:
        capacity: how many calls it may have.
        pauses: times it was set aside since it answered last.
        trouble: what went wrong last, in one line.
        back_at: when it may be called again, in seconds of the monotonic clock.
    """

    def __init__(self, url: str, session: aiohttp.ClientSession, key: str, settings: EndpointSettings) -> None:
        self.url = url
        self.capacity = Capacity(settings.max_concurrency)
        self.pauses = 0
        self.trouble = ""
        self.back_at = 0.0
        self._session = session
        self._key = key
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._proxy = proxy_for(url)
        self._patience = settings.max_retries
        self._timeout_setting = settings.settings.timeout
        self._seconds = settings.request_timeout
        self._in_a_row = 0
        self._aside_since = self._away_since = 0.0
        self._limits_rate = False
        self._dialects: dict[str, Dialect] = {}

    def dialect(self, model: str) -> Dialect:
        """How a model is asked here."""
        return self._dialects.setdefault(model, Dialect())

    @property
    def learned(self) -> list[str]:
        """What is said otherwise here than elsewhere."""
        return [f"{self.url} {note}" for dialect in self._dialects.values() for note in dialect.learned]

    @property
    def free(self) -> int:
        """Calls that may be sent now."""
        return self.capacity.free if monotonic() >= self.back_at else 0

    @property
    def lost(self) -> bool:
        """Whether waiting for it has no point: it stayed away, or asks for a very long wait.

        One that limits how often it is called is there, and may do so by the minute.
        """
        now = monotonic()
        patient = self._limits_rate and now - self._away_since < LONGEST_WAIT
        return (self.pauses > self._patience and not patient) or self.back_at - now > LONGEST_WAIT

    async def call(self, path: str, content: bytes, block: str, read: Reader | None = None) -> list[Answer]:
        """Send one call (the capacity must have been claimed) and give its samples.

        Raises:
            Failure: whatever else comes of it.
        """
        begun = monotonic()
        try:
            found = answers(await self._exchange("POST", path, content), self._key, read)
        except Failure as error:
            self._note(error, begun)
            raise
        except BaseException:
            self.capacity.failed()
            raise
        self.capacity.answered(block, monotonic() - begun)
        if begun >= self._aside_since:
            self._in_a_row = self.pauses = 0
        return found

    async def models(self, seconds: float) -> bytes:
        """What ``/models`` answers within that time.

        Raises:
            Failure: if it answers otherwise or not at all.
        """
        return await self._exchange("GET", "/models", None, aiohttp.ClientTimeout(total=seconds))

    def set_aside(self, wait: float | None = None) -> None:
        """Send nothing for a while, longer each time, and then one call to see whether it is back."""
        self.pauses += 1
        self._aside_since = monotonic()
        self._away_since = self._away_since if self.pauses > 1 else self._aside_since
        self.back_at = max(self.back_at, self._aside_since + pause(self.pauses, wait))
        self.capacity.restart()

    def _note(self, error: Failure, begun: float) -> None:
        """Learn from a failure; one of a call begun before the endpoint was set aside says nothing new."""
        self.trouble = str(error)
        if error.wait:
            self.back_at = max(self.back_at, monotonic() + error.wait)
        if error.kind not in (Kind.UNREACHABLE, Kind.OVERLOAD):
            self.capacity.failed()
            return
        self.capacity.refused()
        if begun < self._aside_since:
            error.counts = False
            return
        self._in_a_row += 1
        self._limits_rate = error.reason == "HTTP 429"
        all_refused = self._in_a_row >= max(_IN_A_ROW, self.capacity.in_flight + 1)
        if error.kind is Kind.UNREACHABLE or all_refused or self.pauses:
            self.set_aside(error.wait)

    async def stream(self, path: str, content: bytes) -> AsyncIterator[str]:
        """The pieces of one answer while it comes; a long one may take long, but no piece longer than the time-out.

        Raises:
            Failure: if there is none, or it breaks off.
        """
        patience = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT, sock_read=self._seconds)
        async with self._request("POST", path, content, patience) as response:
            if response.content_type == "application/json":  # an endpoint that does not stream
                yield answers(await response.read(), self._key)[0].text
                return
            ended = False
            async for line in response.content:
                piece, is_end = piece_of(line)
                ended = ended or is_end
                if piece:
                    yield piece
            if not ended:
                raise Failure(Kind.BROKEN, "answer broke off")

    async def _exchange(
        self, method: str, path: str, content: bytes | None, timeout: aiohttp.ClientTimeout | None = None
    ) -> bytes:
        async with self._request(method, path, content, timeout or self._session.timeout) as response:
            got: bytes = await response.read()
            return got

    @asynccontextmanager
    async def _request(
        self, method: str, path: str, content: bytes | None, timeout: aiohttp.ClientTimeout
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request; gives the answer if its status is that of success."""
        try:
            async with self._session.request(
                method,
                self.url + path,
                data=content,
                headers=self._headers,
                proxy=self._proxy,
                allow_redirects=False,
                timeout=timeout,
            ) as response:
                if response.status != 200:
                    raise failure(response.status, response.headers, await response.read(), self._key)
                yield response
        except aiohttp.ClientSSLError as error:
            raise Failure(Kind.UNREACHABLE, "no secure connection", _why_insecure(error)) from None
        except aiohttp.ClientConnectorError as error:
            raise Failure(Kind.UNREACHABLE, "no connection", _why(error.os_error)) from None
        except aiohttp.ConnectionTimeoutError:
            raise Failure(Kind.UNREACHABLE, "no connection", "nothing answers at this address") from None
        except TimeoutError:
            setting = f", {self._timeout_setting}" if timeout is self._session.timeout else ""
            detail = f"none came within {timeout.total or timeout.sock_read:g} s{setting}"
            raise Failure(Kind.OVERLOAD, "no answer in time", detail) from None
        except (aiohttp.ClientError, OSError) as error:
            raise Failure(Kind.OVERLOAD, "connection broke off", type(error).__name__) from None


def _why(error: OSError) -> str:
    """The system's own words: asyncio puts addresses in their place."""
    return os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)


def _why_insecure(error: aiohttp.ClientSSLError) -> str:
    """What is wrong with the certificate, or else with the handshake."""
    found = error.certificate_error if isinstance(error, aiohttp.ClientConnectorCertificateError) else error.os_error
    return str(getattr(found, "verify_message", "") or getattr(found, "reason", "") or found)
