"""The journal: nothing finished is asked twice, whatever happens to the process or the disk."""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ilab_cli.backends.client import Client
from ilab_cli.backends.client.journal import Journal
from ilab_cli.backends.client.requests import Answer, JournalFailed, Refused, Request
from ilab_profiles import InputError
from tests.ilab_cli.backends.generate.asking import against, request, texts
from tests.ilab_cli.backends.generate.stub import Stub

KILLS = 20


def ask(
    journal: Path, *requests: Request, samples: int = 1, **settings: Any
) -> tuple[list[list[Answer | Refused]], int, Client]:
    """The answers, how many calls a new stub got for them, and the client."""
    stub = Stub()

    async def work(client: Client) -> list[list[Answer | Refused]]:
        return [await client.ask(each, samples) for each in requests]

    answers, client = against(stub, journal, work, **settings)
    return answers, len(stub.asked), client


def test_a_second_run_asks_nothing(tmp_path: Path) -> None:
    requests = [request(row, f"Frage {row}: ünïcode\n") for row in range(5)]
    first, calls, _ = ask(tmp_path / "j", *requests, samples=3)
    again, none, client = ask(tmp_path / "j", *requests, samples=3)
    assert (first, calls, none, client.replayed) == (again, 5, 0, 15)
    assert len(first[0]) == 3


def test_only_samples_that_are_missing_are_asked_for(tmp_path: Path) -> None:
    few, _, _ = ask(tmp_path / "j", request(seed=7), samples=2)
    more, calls, client = ask(tmp_path / "j", request(seed=7), samples=4)
    assert more[0][:2] == few[0]
    assert [text[-2:].strip() for text in texts(more[0])] == ["7", "8", "9", "10"]
    assert (calls, client.replayed) == (1, 2)


@pytest.mark.parametrize(
    "other",
    [
        request("other"),
        request(block="other"),
        request(text="other"),
        request(temperature=0.1),
        request(seed=1),
        request(max_tokens=65),
        Request("0", "questions", {"prompt": "What is a comet?", "max_tokens": 64}),
    ],
)
def test_whatever_differs_in_what_is_asked_is_asked_anew(other: Request, tmp_path: Path) -> None:
    ask(tmp_path / "j", request())
    assert ask(tmp_path / "j", other)[1] == 1
    assert ask(tmp_path / "j", request())[1] == 0


def test_another_model_is_asked_anew(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        await client.ask(request())

    for model, calls in (("a", 1), ("b", 1), ("a", 0)):
        stub = Stub(models=("a", "b"))
        against(stub, tmp_path / "j", work, model=model)
        assert len(stub.asked) == calls


@pytest.mark.parametrize("cut", [1, 2, 30, 10_000])
def test_a_torn_last_line_is_asked_again(cut: int, tmp_path: Path) -> None:
    file = tmp_path / "j"
    ask(file, request(1), request(2))
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(lines[0] + lines[1][: -min(cut, len(lines[1]))])
    answers, calls, _ = ask(file, request(1), request(2))
    assert calls == 1
    assert len(answers) == 2
    assert all(json.loads(line)["text"] for line in file.read_bytes().splitlines())
    assert ask(file, request(1), request(2))[1] == 0


def test_lines_that_cannot_be_read_are_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "j"
    ask(file, request(1))
    file.write_bytes(b'\0\0\0\n{"key": 3}\n[]\n\xff\n\n' + file.read_bytes() + b'{"key": "x"}\n')
    assert ask(file, request(1))[1] == 0


def test_two_runs_do_not_write_one_journal(tmp_path: Path) -> None:
    async def both() -> None:
        async with Journal(tmp_path / "j"):
            with pytest.raises(InputError, match="another run writes to it"):
                async with Journal(tmp_path / "j"):
                    pass
        async with Journal(tmp_path / "j"):
            pass

    asyncio.run(both())


def test_a_journal_that_cannot_be_opened_is_a_finding(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="journal-unusable"):
        ask(tmp_path, request())


def test_what_is_kept_reaches_the_disk_in_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)

    async def work() -> None:
        async with Journal(tmp_path / "j") as journal:
            for number in range(1000):
                journal.put(str(number), Answer("text"), {})
            await asyncio.sleep(0.7)
            assert 1 <= len(synced) <= 3
            journal.put("last", Answer("text"), {})
        assert len(synced) <= 4

    asyncio.run(work())
    assert len((tmp_path / "j").read_bytes().splitlines()) == 1001


@contextmanager
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system of 64 KiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(mount, capture_output=True).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("a small file system cannot be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def fill(journal: Path) -> int:
    """Write until the disk is full; how many answers were taken."""

    def put(opened: Journal, number: int) -> None:
        for key in range(number):
            opened.put(str(key), Answer("x" * 777), {})

    async def work() -> int:
        async with Journal(journal) as opened:
            with pytest.raises(JournalFailed, match=r"cannot be written: No space left on device; it keeps the \d+"):
                put(opened, 1000)
            with pytest.raises(JournalFailed):
                opened.put("more", Answer(""), {})
            return len(opened)

    return asyncio.run(work())


def test_a_full_disk_loses_no_answer(tmp_path: Path) -> None:
    async def count(journal: Path) -> int:
        async with Journal(journal) as opened:
            assert all(opened.get(str(number)) == Answer("x" * 777) for number in range(len(opened)))
            return len(opened)

    with full_disk(tmp_path) as folder:
        taken = fill(folder / "j")
        assert taken > 50
        assert asyncio.run(count(folder / "j")) == taken
        assert (folder / "j").read_bytes().endswith(b"\n")


def asker(url: str, folder: Path, rows: int, *more: str) -> list[str]:
    command = [sys.executable, "-m", "tests.ilab_cli.backends.generate.asker", url]
    return [*command, str(folder / "journal"), str(rows), str(folder / "result"), *more]


def test_a_run_that_may_write_no_more_stops_with_one_line_and_goes_on_later(tmp_path: Path) -> None:
    async def runs() -> None:
        async with Stub(mean=0.01) as stub:
            command = asker(stub.url, tmp_path, 100)
            process = await asyncio.create_subprocess_exec(*command, "20000", stderr=subprocess.PIPE)
            _, error = await process.communicate()
            assert process.returncode == 1
            assert error.decode().count("\n") == 1
            assert "cannot be written: File too large; it keeps the" in error.decode()
            kept = len((tmp_path / "journal").read_bytes().splitlines())
            before = len(stub.asked)
            assert await (await asyncio.create_subprocess_exec(*command)).wait() == 0
            assert len(stub.asked) - before == 300 - kept

    asyncio.run(runs())
    assert len(json.loads((tmp_path / "result").read_text())) == 100


def test_a_run_that_is_killed_twenty_times_repeats_no_kept_call_and_has_every_row_once(tmp_path: Path) -> None:
    rows, chance = 300, random.Random(5)

    async def runs() -> None:
        async with Stub(mean=0.02, slots=8) as stub:
            command = asker(stub.url, tmp_path, rows)
            for _ in range(KILLS):
                process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
                assert process.stdout
                await process.stdout.readline()
                await asyncio.sleep(chance.uniform(0, 0.2))
                process.kill()
                await process.wait()
                while stub.in_flight:
                    await asyncio.sleep(0.01)
                kept = _kept(tmp_path / "journal")
                begun.append((len(stub.asked), kept))
            assert await (await asyncio.create_subprocess_exec(*command)).wait() == 0
            asked.extend(body["messages"][0]["content"] for body in stub.asked)

    begun: list[tuple[int, set[str]]] = []
    asked: list[str] = []
    asyncio.run(runs())
    for mark, kept in begun:
        assert not kept.intersection(asked[mark:])
    assert 0 < len(begun[-1][1]) < 3 * rows  # else no kill came in the middle
    assert len(set(asked)) == 3 * rows
    assert len(asked) - 3 * rows <= KILLS * 16  # what was in flight when the process was killed
    found = json.loads((tmp_path / "result").read_text())
    assert [number for number, _ in found] == list(range(rows))
    assert all(text == f"2: 1: 0: {number}{f' / {number}' * 3}" for number, text in found)


def _kept(journal: Path) -> set[str]:
    """What was asked, as far as the journal knows the answer to it: the stub's answers hold the question."""
    lines = journal.read_bytes().split(b"\n")[:-1] if journal.exists() else []
    return {json.loads(line)["text"].rpartition(" / ")[0] for line in lines}
