"""What people see of a generation says how it went, whatever the number of leaves."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field

import pytest

from ilab_cli.backends.generate import view
from ilab_cli.backends.generate.output import Pair
from ilab_cli.backends.generate.plan import LeafPlan, RunPlan
from ilab_cli.backends.generate.view import View, summary


@dataclass
class Client:
    """Figures of a client that is at work."""

    calls: int = 1234
    retries: int = 5
    replayed: int = 0
    cut: int = 0
    said: dict[str, str] = field(default_factory=dict)
    in_flight: int = 60
    limit: int = 64
    calls_per_second: float = 123.4
    troubles: list[str] = field(default_factory=list)


def finished(good: int, barren: int = 0) -> RunPlan:
    """A run that is over, with a pair wanted of each leaf; some leaves bring all that is asked of them, some none."""
    names = [*(f"knowledge/good{number}" for number in range(good)), *(f"skills/[b]{n}" for n in range(barren))]
    plan = RunPlan(len(names), [LeafPlan(name, lambda _: iter([{}] * 20), 1) for name in names])
    while taken := plan.take():
        leaf, number, _ = taken
        found = [Pair(f"q {number}", "a", leaf.name, "knowledge", "test")] if "good" in leaf.name else []
        plan.finish(leaf, number, found, Counter(bad=not found))
    return plan


def table(plan: RunPlan) -> list[list[str]]:
    text = "\n".join(summary(plan, Client(), 10.0))
    assert "1234 calls in 10 s, 123.4 a second, 5 tried again" in text
    return [line.split() for line in text.splitlines()]


def test_a_few_leaves_have_a_line_each() -> None:
    head, good, barren, total, rejected, _ = table(finished(1, 1))
    assert head == ["leaf", "accepted", "wanted", "rejected", "rows"]
    assert good == ["knowledge/good0", "2", "2", "0", "2"]
    assert (barren[0], barren[1], barren[-2:]) == ("skills/[b]0", "0", ["new", "pairs"])
    assert total[:3] == ["all", "2", "2"]
    assert rejected[0] == "rejected"


def test_what_the_endpoint_said_stands_beside_the_reason() -> None:
    plan = RunPlan(1, [LeafPlan("skills/a", lambda _: iter([{}]), 1)])
    taken = plan.take()
    assert taken
    plan.finish(*taken[:2], [], Counter({"ask: HTTP 400": 2, "ask: the answer is empty": 1}))
    told = [*summary(plan, Client(said={"HTTP 400": "max_tokens is too large"}), 10.0)]
    assert "rejected 2: ask: HTTP 400 (max_tokens is too large)" in told
    assert "rejected 1: ask: the answer is empty" in told


def test_of_many_leaves_those_that_gave_out_are_told() -> None:
    lines = table(finished(1000, 3))
    assert [line[0] for line in lines[1:4]] == ["skills/[b]0", "skills/[b]1", "skills/[b]2"]
    assert lines[4][:4] == ["1000", "other", "leaves", "1003"]
    assert lines[5][:5] == ["all", "1003", "leaves", "1003", "1003"]
    assert lines[5][-4:] == ["3", "without", "new", "pairs"]
    assert len(table(finished(0, 500))) < 40
    assert [line[0] for line in table(finished(500))[:2]] == ["leaf", "all"]


def test_what_is_told_of_a_leaf_is_right_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    async def work() -> None:
        good, barren = (LeafPlan(name, lambda _: iter([{}] * 20), 1) for name in ("good", "barren"))
        plan = RunPlan(4, [good, barren])
        async with View(plan, Client()) as view:
            while taken := plan.take():
                leaf, number, _ = taken
                found = [Pair(f"q {number}", "a", "good", "knowledge", "test")] if leaf is good else []
                plan.finish(leaf, number, found, Counter())
                view.progress(leaf)

    asyncio.run(work())
    assert capsys.readouterr().err.splitlines() == [
        "good: 2 of 2 pairs from 2 rows",
        "good: 4 of 4 pairs from 4 rows",
        "barren: no new pairs after 0 from 20 rows",
    ]


@pytest.mark.parametrize("width", [80, 120])
def test_a_picture_fits_the_terminal_and_tells_how_long_it_takes(width: int) -> None:
    from rich.console import Console

    plan = RunPlan(100_000, [LeafPlan(f"knowledge/{'deep/' * 20}{n}", lambda _: iter([{}]), 1) for n in range(1000)])
    for _ in range(40):
        taken = plan.take()
        assert taken
        plan.finish(taken[0], taken[1], [Pair("q", "a", taken[0].name, "knowledge", "test")], Counter({"bad": 12}))
    console = Console(width=width, height=24, markup=False)
    with console.capture() as shown:
        console.print(View(plan, Client())._picture())
    lines = shown.get().splitlines()
    assert len(lines) <= 20
    assert max(map(len, lines)) <= width
    assert "left" in shown.get()
    assert "60 in flight (at most 64)" in shown.get()


def test_an_endpoint_that_stops_answering_is_told_at_once_and_silence_is_short(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(view, "_PAUSE", 0.01)
    monkeypatch.setattr(view, "_SILENCE", 0.3)
    plan, client = RunPlan(10, [LeafPlan("leaf", lambda _: iter([{}]), 1)]), Client()

    async def watch() -> tuple[str, str]:
        async with View(plan, client):
            await asyncio.sleep(0.05)
            before = capsys.readouterr().err
            client.troubles.append("http://there does not answer: no connection; next try in 4 s")
            await asyncio.sleep(0.1)
            at_once = capsys.readouterr().err
            client.troubles.clear()
            await asyncio.sleep(0.4)
        return before, at_once

    before, at_once = asyncio.run(watch())
    assert before == ""
    assert at_once.count("next try in 4 s") == 1
    assert "calls/s" in capsys.readouterr().err
