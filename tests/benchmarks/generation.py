"""How well the client keeps an endpoint busy, and what a call costs: against the stub, which has a process of its own.

The figure is the ideal wall time, which is all service time of the stub over its slots, divided by the wall time that
the client took, journal included. Every row makes three calls, each from the answer of the one before. The floor is a
bare loop around aiohttp, told how many calls the endpoint takes, without a journal, retries or anything else.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter, process_time
from typing import Any
from urllib.request import urlopen

import aiohttp

from ilab_cli.backends.client import Client
from ilab_cli.backends.client.requests import Request
from ilab_cli.backends.client.stream import run
from ilab_cli.backends.generate.teacher import endpoint_settings
from ilab_profiles import Generate
from tests.ilab_cli.backends.generate.asking import texts

CALLS = 3
PROMPT = "Write a question about the following text, and answer it. " * 20


@dataclass(frozen=True)
class Case:
    """One line of the table: an endpoint, the client's limit, and the figure to reach."""

    name: str
    slots: int
    mean: float
    most: int
    wanted: float = 0.0
    options: tuple[str, ...] = ()
    bare: bool = False


CASES = (
    Case("floor: bare aiohttp", 64, 0.5, 64, bare=True),
    Case("64 slots, 0.5 s", 64, 0.5, 128, 0.95),
    Case("64 slots, 0.5 s, limit 64", 64, 0.5, 64, 0.95),
    Case("5% 503 at once", 64, 0.5, 128, 0.82, ("--share", "0.05")),
    Case("5% 503 after service", 64, 0.5, 128, 0.82, ("--share", "0.05", "--occupying")),
    Case("429 above 64", 64, 0.5, 128, 0.0, ("--strict",)),
    Case("256 slots, 0.2 s", 256, 0.2, 512),
)


@contextmanager
def stub(*options: str) -> Iterator[str]:
    """A stub in a process of its own; gives its URL."""
    command = [sys.executable, "-m", "tests.ilab_cli.backends.generate.stub", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


def body(number: int, block: int, text: str) -> dict[str, Any]:
    """What one call asks."""
    return {"messages": [{"role": "user", "content": f"{PROMPT} {number}.{block} {text[-8:]}"}], "max_tokens": 64}


async def row(client: Client, number: int) -> None:
    """Three calls, one after the other."""
    text = f"{number}"
    for block in range(CALLS):
        [text] = texts(await client.ask(Request(str(number), f"block{block}", body(number, block, text))))


async def drive(url: str, most: int, rows: int, journal: Path) -> Client:
    """All rows."""
    settings = Generate(model_endpoint_url=url, max_concurrency=most, request_timeout=60.0)
    async with Client(endpoint_settings(settings), journal) as client:
        async for _ in run(partial(next, iter(range(rows)), None), partial(row, client), 2 * most):
            pass
        return client


async def drive_bare(url: str, most: int, rows: int) -> None:
    """All rows, by as many loops as calls may be under way."""
    left = iter(range(rows))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=most)) as session:

        async def work() -> None:
            for number in left:
                text = f"{number}"
                for block in range(CALLS):
                    asked = {"model": "teacher"} | body(number, block, text)
                    async with session.post(f"{url}/v1/chat/completions", json=asked) as response:
                        text = (await response.json())["choices"][0]["message"]["content"]

        await asyncio.gather(*(work() for _ in range(most)))


def measure(case: Case, rows: int) -> dict[str, Any]:
    """One run of a case."""
    options = ("--slots", str(case.slots), "--mean", str(case.mean), *case.options)
    with stub(*options) as url, tempfile.TemporaryDirectory() as folder:
        begun, cpu = perf_counter(), process_time()
        if case.bare:
            client = None
            asyncio.run(drive_bare(url, case.most, rows))
        else:
            client = asyncio.run(drive(url, case.most, rows, Path(folder, "journal.jsonl")))
        wall, cpu = perf_counter() - begun, process_time() - cpu
        stats = json.load(urlopen(f"{url}/stats"))
    ideal = stats["service"] / case.slots
    calls = client.calls if client else CALLS * rows
    return {
        "case": case.name,
        "figure": f"{ideal / wall:.3f}",
        "wanted": f"{case.wanted:.2f}" if case.wanted else "",
        "wall s": f"{wall:.1f}",
        "calls/s": f"{calls / wall:.0f}",
        "CPU ms/call": f"{1000 * cpu / calls:.2f}",
        "retries": str(client.retries) if client else "",
        "limit": str(client.limit) if client else "",
        "most": str(stats["most"]),
        "MiB": f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f}",
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--only", default="", help="cases whose name holds this")
    arguments = parser.parse_args()
    head, floor = True, 0.0
    for case in CASES:
        for _ in range(arguments.repeat if arguments.only in case.name else 0):
            found = measure(case, arguments.rows)
            cost = float(found["CPU ms/call"])
            floor = cost if case.bare else floor
            found["to floor"] = f"{cost / floor:.2f}x" if floor else ""
            widths = [max(len(name), 28 if name == "case" else 7) for name in found]
            for line in ([list(found)] if head else []) + [list(found.values())]:
                print("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)), flush=True)
            head = False


if __name__ == "__main__":
    main()
