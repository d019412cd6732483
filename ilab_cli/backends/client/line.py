"""The line in which calls wait for an endpoint: who is next, and who takes it.

Calls of rows that are less far go first. So when the rows run out, all that is left is each row's last call, and the
end of a run is not one row's whole chain long. Among calls that are equally far, those wait in the order of their
bytes: prompts that begin alike, such as all that ask about one piece of a document, are sent one after the other, which
endpoints that cache prefixes reward. A call goes to the endpoint with the largest share of its capacity free. What
becomes of a call is no concern of the line.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import count
from time import monotonic

from ilab_cli.backends.client.endpoint import Endpoint

__all__ = ["Line", "Turn", "turn"]


@dataclass(slots=True)
class Turn:
    """How far a row is: how many calls it has behind it."""

    calls: int = 0


turn: ContextVar[Turn | None] = ContextVar("turn", default=None)
"""The place of the row that the current task works on."""


class Line:
    """Calls that wait, and the endpoints that they wait for.

    Args:
        endpoints: where calls may go.
        most: calls that may be in flight at all endpoints together.
    """

    def __init__(self, endpoints: Sequence[Endpoint], most: int) -> None:
        self.endpoints = endpoints
        self.most = most
        self._waiting: list[tuple[int, bytes, int, asyncio.Future[Endpoint]]] = []
        self._tickets = count()
        self._alarm: asyncio.TimerHandle | None = None

    @property
    def in_flight(self) -> int:
        """Calls under way."""
        return sum(endpoint.capacity.in_flight for endpoint in self.endpoints)

    async def claim(self, place: Turn, content: bytes) -> Endpoint:
        """Wait for one's turn; a call's worth of the endpoint's capacity is then taken, and ``call`` must follow.

        Args:
            place: how far the row is.
            content: what is sent.
        """
        if not self._waiting and (endpoint := self._free_endpoint()):
            endpoint.capacity.begin()
            return endpoint
        future: asyncio.Future[Endpoint] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (place.calls, content, next(self._tickets), future))
        self.advance()
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                future.result().capacity.failed()
                self.advance()
            raise

    def advance(self) -> None:
        """Let go whoever may go now; to be called whenever a call has ended."""
        while self._waiting:
            if self._waiting[0][3].done():  # given up meanwhile
                heapq.heappop(self._waiting)
            elif endpoint := self._free_endpoint():
                endpoint.capacity.begin()
                heapq.heappop(self._waiting)[3].set_result(endpoint)
            else:
                self._wake_later()
                return

    def _free_endpoint(self) -> Endpoint | None:
        """The endpoint for the next call; none if all are busy or set aside."""
        if self.in_flight >= self.most:
            return None
        endpoint = max(self.endpoints, key=lambda each: each.free / each.capacity.limit)
        return endpoint if endpoint.free else None

    def _wake_later(self) -> None:
        """Look again when the first endpoint that was set aside is to be tried again."""
        now = monotonic()
        times = [endpoint.back_at for endpoint in self.endpoints if endpoint.back_at > now]
        if self._alarm:
            self._alarm.cancel()
            self._alarm = None
        if times:
            self._alarm = asyncio.get_running_loop().call_later(min(times) - now + 0.001, self.advance)
