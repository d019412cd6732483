"""How the limit of calls finds what an endpoint can take, in virtual time: the same numbers on every machine."""

from __future__ import annotations

import heapq
import math
import random
from itertools import count

import pytest

from ilab_cli.backends.client.capacity import Capacity
from tests.ilab_cli.backends.generate.stub import SIGMA


def busy(
    seed: int, *, slots: int = 64, most: int = 128, faulty: float = 0.0, strict: bool = False, calls: int = 6000
) -> float:
    """The share of the slots that is in use, on average, until so many calls are answered.

    Args:
        seed: of latencies, drawn from a log-normal distribution with mean 0.5 s, and faults.
        slots: calls that the endpoint works on at once.
        most: calls that the client may have in flight.
        faulty: share of calls that are refused, whatever the load, after they took their time.
        strict: whether calls without a free slot are refused at once; else they wait.
        calls: their number.
    """
    draw, capacity, numbers = random.Random(seed), Capacity(most), count()
    now = work = 0.0
    ends: list[tuple[float, int, float, bool]] = []  # when it ends, number, when it was sent, whether it is refused
    free = [0.0] * slots  # when each slot is free again
    answered = 0
    while answered < calls:
        while capacity.free:
            capacity.begin()
            if strict and free[0] > now:
                heapq.heappush(ends, (now + 0.01, next(numbers), now, True))
                continue
            seconds = draw.lognormvariate(math.log(0.5) - SIGMA**2 / 2, SIGMA)
            end = max(free[0], now) + seconds
            heapq.heapreplace(free, end)
            work += seconds
            heapq.heappush(ends, (end, next(numbers), now, draw.random() < faulty))
        now, _, sent, refused = heapq.heappop(ends)
        if refused:
            capacity.refused()
        else:
            capacity.answered("block", now - sent)
            answered += 1
    return work / slots / now


@pytest.mark.parametrize(
    ("faulty", "strict", "least"),
    [(0.0, False, 0.85), (0.0, True, 0.85), (0.05, False, 0.85), (0.08, False, 0.5), (0.2, False, 0.3)],
)
def test_an_endpoint_is_kept_busy_whatever_else_it_does(faulty: float, strict: bool, least: float) -> None:
    worst = min(busy(seed, faulty=faulty, strict=strict) for seed in range(40))
    assert worst > least


def test_a_small_endpoint_is_kept_busy_too() -> None:
    assert min(busy(seed, slots=4, most=512, strict=True, calls=1000) for seed in range(20)) > 0.85


def test_the_limit_stops_growing_where_answers_slow_down() -> None:
    capacity = Capacity(1000)
    slots, now, ends = 40, 0.0, [0.0] * 40
    line: list[tuple[float, float]] = []
    for _ in range(20_000):
        while capacity.free:
            capacity.begin()
            slot = min(range(slots), key=ends.__getitem__)
            ends[slot] = max(now, ends[slot]) + 1.0
            line.append((ends[slot], now))
        end, begun = line.pop(0)
        now = end
        capacity.answered("block", end - begun)
    assert slots <= capacity.limit <= 3 * slots


def test_rare_refusals_do_not_shrink_the_limit() -> None:
    capacity = Capacity(64)
    for number in range(4000):
        while capacity.free:
            capacity.begin()
        capacity.refused() if number % 20 == 0 else capacity.answered("block", 0.5)
    assert capacity.limit > 60
