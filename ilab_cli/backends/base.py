"""What all back ends share: how a worker gets its settings, is started and stopped, and where it may write.

A worker is a module that runs as a process of its own, ``python -m MODULE --settings JSON``. It is started in a session
of its own, so that Ctrl-C reaches the program alone, which then ends the worker in order.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ilab_cli.output import INTERRUPTED, TERMINATED
from ilab_profiles import Finding, InputError, Profile
from ilab_profiles.diagnostics import counted
from ilab_profiles.gpus import format_gpus
from ilab_profiles.models.fields import Section

__all__ = [
    "as_arguments",
    "end_with_parent",
    "existing_part",
    "gpus_in_words",
    "interrupted",
    "is_full",
    "main",
    "memory_in_words",
    "output_folder",
    "read_settings",
    "size_in_words",
    "start",
    "stop",
    "stoppable",
    "time_in_words",
    "wait",
]

_terminated = False
_LOOK = 0.2  # seconds between two looks at whether the parent is there
_ROOM = 100_000  # bytes
_ELSEWHERE = "choose another folder"
_NOTHING: Mapping[str, Any] = MappingProxyType({})


# --- settings ---------------------------------------------------------------------------------------------------------


def as_arguments(module: str, settings: Section, **which: Any) -> list[str]:
    """Arguments of Python that run a worker: its module, and every setting that differs from its default.

    Args:
        module: name of the worker's module.
        settings: what the worker gets.
        which: ``include`` or ``exclude``, as pydantic's ``model_dump`` takes them; keys must be left out.
    """
    data = settings.model_dump(mode="json", exclude_defaults=True, **which)
    return ["-m", module, "--settings", json.dumps(data, ensure_ascii=False)]


def read_settings(section: str, more: Mapping[str, Any] = _NOTHING) -> Any:
    """The settings that this process was started with, checked as those of a profile.

    Args:
        section: the section of a profile that they are, for example ``"train"``.
        more: settings that the command line does not hold, such as a key.

    Raises:
        InputError: with everything that is wrong with them.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--settings", required=True, help=f"the {section} section of a profile, as JSON")
    data = json.loads(parser.parse_args().settings)
    return getattr(Profile.from_dict({section: {**data, **more}}), section)


def main(section: str, work: Callable[[Any], int], more: Mapping[str, Any] = _NOTHING) -> int:
    """Do the work that the command line describes; returns its exit code, 2 if an input is refused."""
    try:
        return work(read_settings(section, more))
    except InputError as error:
        print(error, file=sys.stderr)
        return 2


# --- processes --------------------------------------------------------------------------------------------------------


@contextmanager
def stoppable() -> Iterator[None]:
    """Treat SIGTERM, which schedulers send, like Ctrl-C for the length of a block, in asyncio too."""
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def interrupted() -> int:
    """The exit code of a process that was asked to end: 143 after SIGTERM, 130 after Ctrl-C."""
    return TERMINATED if _terminated else INTERRUPTED


def _interrupt(*_: object) -> None:
    global _terminated
    _terminated = True
    if not callable(signal.getsignal(signal.SIGINT)):  # Ctrl-C is switched off, as for a job in the background
        raise KeyboardInterrupt
    signal.raise_signal(signal.SIGINT)


def start(command: list[str], variables: Mapping[str, str], **streams: Any) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own, with these variables on top of this process's own.

    Args:
        command: the command.
        variables: the variables.
        streams: ``stdin``, ``stdout`` and ``stderr``, as ``Popen`` takes them; without ``stdin`` there is no input.
    """
    streams.setdefault("stdin", subprocess.DEVNULL)
    return subprocess.Popen(command, env={**os.environ, **variables}, start_new_session=True, **streams)


def wait(process: subprocess.Popen[bytes], patience: float, by: int = signal.SIGTERM) -> int:
    """Wait for a process and return its exit code; Ctrl-C stops it and goes on as ``KeyboardInterrupt``."""
    try:
        return process.wait()
    except KeyboardInterrupt:
        stop(process, patience, by)
        raise


def end_with_parent() -> None:
    """From now on, end this process when the one that started it is gone: an orphan would work on unseen."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def stop(process: subprocess.Popen[bytes], patience: float | None = None, by: int = signal.SIGTERM) -> None:
    """End a process: ask it once, and again on Ctrl-C or after ``patience`` seconds, then by force if it takes that.

    Args:
        process: the process.
        patience: seconds that it has; without a limit it is never ended by force.
        by: the signal that asks.
    """
    process.send_signal(by)
    with suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
        process.wait(patience)
        return
    process.send_signal(by) if patience is None else process.kill()
    process.wait()


def gpus_in_words(gpus: tuple[int, ...] | None, count: int) -> str:
    """Chosen GPUs as a person would name them, else how many are used."""
    return f"GPU {format_gpus(gpus)}" if gpus else counted(count, "GPUs")


def memory_in_words(size: float) -> str:
    """Bytes of memory, which is made in powers of two."""
    return f"{size / 2**30:,.1f} GiB" if size >= 2**30 else f"{size / 2**20:,.0f} MiB"


def size_in_words(size: float) -> str:
    """Bytes on a disk, which is sold in powers of ten."""
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"


def time_in_words(seconds: float) -> str:
    """Seconds as hours, minutes and seconds; a short time in seconds."""
    return str(timedelta(seconds=round(seconds))) if seconds >= 60 else f"{seconds:,.1f} s"


# --- folders ----------------------------------------------------------------------------------------------------------


def existing_part(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    return next((place for place in (folder, *folder.absolute().parents) if os.path.exists(place)), Path())


def is_full(folder: Path) -> bool:
    """Whether the disk that holds a folder has no room left worth speaking of."""
    return shutil.disk_usage(existing_part(folder)).free < _ROOM


def output_folder(path: str, setting: str) -> Iterator[Finding]:
    """Why nothing can be written in a folder, which need not be there yet; nothing if all is well.

    Args:
        path: the folder.
        setting: dotted path of the setting that names it.
    """
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:  # a name that is too long, links in a circle, a folder that may not be looked into
        yield Finding("not-writable", f"{path} cannot be used: {error.strerror}", setting, hint=_ELSEWHERE)
        return
    existing = existing_part(Path(path))
    if not existing.is_dir():
        yield Finding("not-a-folder", f"{existing} is a file: no folder can be made there", setting, hint=_ELSEWHERE)
    elif not os.access(existing, os.W_OK):
        yield Finding("not-writable", f"{existing} is not writable", setting, hint=_ELSEWHERE)
