"""How many calls an endpoint gets at once, found out from its answers alone.

The limit starts low and grows by one with each answer, so that it doubles while each call is answered once. That ends
where answers slow down or are refused. From then on an answer adds a tenth of a call, and a refusal takes a whole one
while more than one call in eleven is refused. Refusals that are rarer than that, and so have nothing to do with load,
do not shrink it; should many be refused at half the limit still, then load is not why, and their share is borne from
then on. Queues inside the endpoint show as latency: a block's answers are compared with the quickest that the block has
seen. While they take twice as long, the limit shrinks by a fifth at a time; should that not help, then it is the calls
that have become longer, and what counts as quick is learned anew. No more is known here: neither HTTP, nor time-outs,
nor other endpoints.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Capacity"]

_START = 16
_STEP = 0.1
_REFUSED = 0.15
"""Share of refusals among recent calls above which the quick search ends."""
_BORNE = 1 / 11
"""Share of refusals that does not shrink the limit."""
_LEAST_HALVED = 4
"""Limit from which on halving it says something."""
_SLOW, _QUEUED = 1.5, 2.0
"""Mean latency over the least one: above the first the limit stays, above the second it shrinks."""
_SHRINK = 0.8
_WINDOW = 32
"""Answers over which shares and means are taken."""


@dataclass(slots=True)
class _Latency:
    """Running mean of a block's latencies, and the least that it has been."""

    mean: float = 0.0
    least: float = float("inf")
    count: int = 0

    def add(self, seconds: float) -> float:
        """Take in one latency; returns the mean over the least one, 1 as long as too few are known."""
        self.count += 1
        self.mean += (seconds - self.mean) / min(self.count, _WINDOW)
        if self.count < _WINDOW:
            return 1.0
        self.least = min(self.mean, self.least)
        return self.mean / self.least if self.least else 1.0

    def restart(self) -> None:
        """Take the mean anew, and let the least come a little closer to it: perhaps the calls have become longer."""
        self.least += (self.mean - self.least) / 8
        self.count = 0


class Capacity:
    """The number of calls that one endpoint may have in flight.

    Args:
        most: the limit never exceeds it.

    Attributes:
        limit: calls that may be in flight at once; a fraction counts towards the next whole call.
        in_flight: calls begun and not ended.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.limit = float(min(_START, most))
        self.in_flight = 0
        self._searching = True
        self._refused = 0.0
        self._borne = _BORNE
        self._before = 0.0
        self._settling = 0
        self._blocks: dict[str, _Latency] = {}

    @property
    def free(self) -> int:
        """Calls that may be begun now."""
        return max(0, int(self.limit) - self.in_flight)

    def begin(self) -> None:
        """Count a call that is sent."""
        self.in_flight += 1

    def answered(self, block: str, seconds: float) -> None:
        """End a call that was answered; ``block`` names calls that are alike, ``seconds`` is how long it took."""
        full = self.in_flight >= int(self.limit)
        settled = self._end()
        self._refused -= self._refused / _WINDOW
        if self._refused < self._borne:
            self._before = 0.0
        if not settled:
            return
        latency = self._blocks.setdefault(block, _Latency())
        stretch = latency.add(seconds)
        if stretch > _SLOW:
            self._searching = False
        if stretch > _QUEUED:
            self.limit = max(1.0, self.limit * _SHRINK)
            self._settling = self.in_flight
            latency.restart()
        elif full and stretch <= _SLOW:
            self.limit = min(float(self.most), self.limit + (1 if self._searching else _STEP))

    def refused(self) -> None:
        """End a call that was refused for lack of room, or not answered in time."""
        if not self._end():
            return
        self._refused += (1 - self._refused) / _WINDOW
        if self._refused > _REFUSED:
            self._searching = False
        if self._refused > self._borne:
            self._shrink()

    def failed(self) -> None:
        """End a call that failed for a reason that has nothing to do with load."""
        self._end()

    def restart(self) -> None:
        """Search anew from a single call: the endpoint was away."""
        self.limit = 1.0
        self._searching = True
        self._refused = self._before = 0.0
        self._settling = self.in_flight

    def _end(self) -> bool:
        """End a call; whether it tells of the present limit, and was not sent before that shrank."""
        self.in_flight -= 1
        settled = not self._settling
        self._settling -= not settled
        return settled

    def _shrink(self) -> None:
        """Take a call from the limit; give all of them back if that does not help."""
        self._before = self._before or self.limit
        self.limit = max(1.0, self.limit - 1)
        if self._before > _LEAST_HALVED and self.limit <= self._before / 2:
            self.limit, self._before = self._before, 0.0
            self._borne = min(1.0, self._refused + _BORNE)
