"""A process that asks and can be killed: rows of three chained calls, and at the end every row's answer in a file.

Usage: ``python -m tests.ilab_cli.backends.generate.asker URL JOURNAL ROWS RESULT [LARGEST_FILE]``.

It prints ``ready`` when it starts to ask.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
from functools import partial
from pathlib import Path

from ilab_cli.backends.client import Client, stream
from ilab_cli.backends.client.requests import Stopped
from ilab_cli.backends.generate.teacher import endpoint_settings
from ilab_profiles import Generate
from tests.ilab_cli.backends.generate.asking import request, texts


async def row(client: Client, number: int) -> str:
    text = str(number)
    for block in range(3):
        [text] = texts(await client.ask(request(number, f"{block}: {text}", f"block{block}", seed=number)))
    return text


async def main(url: str, journal: str, rows: str, result: str) -> None:
    async with Client(endpoint_settings(Generate(model_endpoint_url=url, max_concurrency=16)), Path(journal)) as client:
        print("ready", flush=True)
        take = partial(next, iter(range(int(rows))), None)
        found = [pair async for pair in stream.run(take, partial(row, client), 32)]
    Path(result).write_text(json.dumps(sorted(found)), encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) > 5:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[5]), int(sys.argv[5])))
    try:
        asyncio.run(main(*sys.argv[1:5]))
    except Stopped as error:
        sys.exit(str(error))
