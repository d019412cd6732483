"""Every finished call on disk, so that no run asks the same thing twice: an append-only file of JSON lines.

A line is written the moment its answer is there, which a killed process survives, and brought to the disk in batches,
which a power cut survives. Where each line stands is kept in memory, the answers are not. What a key is made of is
told by the one who asks.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from ilab_cli.backends.client.requests import Answer, JournalFailed, whole
from ilab_cli.backends.lock import lock
from ilab_profiles import Finding, InputError, Position
from ilab_profiles.yaml.files import make_folder

__all__ = ["Journal", "in_use"]

_BATCH_SECONDS = 0.5
_BATCH_LINES = 256


class Journal:
    """The answers of earlier runs and of this one, by key; an async context manager.

    Args:
        file: the journal, made where there is none. A last line that was torn by a crash is cut off, lines that cannot
            be read are passed over; both are asked again.

    Raises:
        InputError: on entering, if the file cannot be read or written, or another process writes it.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._places: dict[str, tuple[int, int]] = {}
        self._size = 0
        self._unsynced = 0
        self._handle = -1
        self._due = asyncio.Event()
        self._syncing: asyncio.Task[None] | None = None
        self._closing = False
        self._failure: JournalFailed | None = None

    def __len__(self) -> int:
        return len(self._places)

    async def __aenter__(self) -> Journal:
        make_folder(self.file)
        try:
            self._handle = os.open(self.file, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o666)
        except OSError as error:
            raise self._refusal("journal-unusable", f"cannot be used: {error.strerror}") from None
        try:
            if not lock(self._handle):
                raise InputError(_in_use(self.file))
            self._read()
        except BaseException:
            os.close(self._handle)
            raise
        self._syncing = asyncio.create_task(self._sync_in_batches())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closing = True
        self._due.set()
        try:
            if self._syncing:
                await self._syncing
            await asyncio.to_thread(self._sync)
        finally:
            os.close(self._handle)

    def get(self, key: str) -> Answer | None:
        """The answer that was kept under a key, if there is one."""
        if (place := self._places.get(key)) is None:
            return None
        entry = json.loads(os.pread(self._handle, place[1], place[0]))
        return Answer(whole(entry["text"]), entry["finish_reason"])

    def put(self, key: str, answer: Answer, about: dict[str, Any]) -> None:
        """Keep an answer; ``about`` says in the file, for people, what was asked.

        Raises:
            JournalFailed: if it cannot be written; the file then holds every answer that was kept before, whole.
        """
        if self._failure:
            raise self._failure
        entry = {"key": key, **about, "text": answer.text, "finish_reason": answer.finish_reason}
        line = json.dumps(entry).encode() + b"\n"
        try:
            if os.write(self._handle, line) < len(line):
                os.write(self._handle, line)  # says what is wrong, as the one before could not
                raise OSError("a line was written in part")
        except OSError as error:
            os.ftruncate(self._handle, self._size)
            raise self._fail(error) from None
        self._places[key] = (self._size, len(line))
        self._size += len(line)
        self._unsynced += 1
        if self._unsynced >= _BATCH_LINES:
            self._due.set()

    def _read(self) -> None:
        """Find the place of every whole line, and cut off what follows the last."""
        with open(self._handle, "rb", closefd=False) as stream:
            stream.seek(0)
            for line in stream:
                if not line.endswith(b"\n"):
                    os.ftruncate(self._handle, self._size)
                    break
                if key := _key(line):
                    self._places[key] = (self._size, len(line))
                self._size += len(line)

    async def _sync_in_batches(self) -> None:
        while not self._closing:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._due.wait(), _BATCH_SECONDS)
            self._due.clear()
            try:
                await asyncio.to_thread(self._sync)
            except JournalFailed as error:
                self._failure = error

    def _sync(self) -> None:
        if self._unsynced:
            self._unsynced = 0
            try:
                os.fsync(self._handle)
            except OSError as error:
                raise self._fail(error) from None

    def _fail(self, error: OSError) -> JournalFailed:
        self._failure = JournalFailed(
            f"{self.file}: cannot be written: {error.strerror or error}; it keeps the {len(self._places)} answers"
            " so far, and the same command continues from there"
        )
        return self._failure

    def _refusal(self, rule: str, message: str) -> InputError:
        return InputError(Finding(rule, message, position=Position(str(self.file))))


def in_use(file: Path) -> Iterator[Finding]:
    """A finding if another process writes the journal now."""
    try:
        with file.open("rb") as stream:
            if not lock(stream.fileno(), shared=True):
                yield _in_use(file)
    except OSError:
        return


def _in_use(file: Path) -> Finding:
    return Finding("journal-in-use", "another run writes to it now", position=Position(str(file)))


def _key(line: bytes) -> str | None:
    """The key of a line; none if the line is not whole."""
    try:
        entry = json.loads(line)
        return str(entry["key"]) if isinstance(entry["text"], str) and "finish_reason" in entry else None
    except (ValueError, LookupError, TypeError):
        return None
