"""Launching a server: which one, its exact command, its start, the wait until it answers, and its end.

``generate``, where it is given, says which GPUs the server may use. Imports nothing heavy.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ilab_cli.backends.base import start, stop, stoppable
from ilab_cli.backends.hardware import visible
from ilab_cli.backends.serve import address, keeper, ready, servers
from ilab_cli.backends.serve.servers import LIMITS, available, choose
from ilab_profiles import Finding, Generate, InputError
from ilab_profiles.models.config import Serve

__all__ = [
    "LIMITS",
    "START_TIMEOUT",
    "ServerFailed",
    "available",
    "choose",
    "command",
    "environment",
    "preflight",
    "run",
    "running",
]

START_TIMEOUT = 600.0
"""Seconds that a server has to load its model and answer."""
_TAIL = 15  # lines of the log that are shown when a server failed


class ServerFailed(RuntimeError):
    """The server ended or never answered; the text says why, with the end of its log."""


@dataclass(frozen=True, slots=True)
class _Server:
    process: subprocess.Popen[bytes]
    log: Path

    def alive(self) -> bool:
        return self.process.poll() is None

    def failure(self, what: str) -> ServerFailed:
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        end = "".join(f"\n    {line}" for line in lines[-_TAIL:])
        return ServerFailed(f"{what}; its log is {self.log}{', which ends:' if end else ', and is empty'}{end}")


def preflight(serve: Serve, generate: Generate | None = None) -> list[Finding]:
    """All that can be known to be wrong before the start, warnings included. Never writes."""
    from ilab_cli.backends.serve.preflight import preflight

    return preflight(serve, _gpus(generate))


def command(serve: Serve, generate: Generate | None = None, *, trust_remote_code: bool = False) -> list[str]:
    """The command of the server; typed by hand, with :func:`environment`, it serves the same.

    Raises:
        InputError: if no server is there for this model, or the address is none.
    """
    gpus = _gpus(generate)
    return servers.command(choose(serve, gpus), serve, gpus, trust_remote_code=trust_remote_code)


def environment(serve: Serve, generate: Generate | None = None) -> dict[str, str]:
    """Variables that the server gets on top of this process's own: the GPUs it sees, and no look at any hub."""
    variables = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_UPDATE_CHECK": "1"}
    gpus = _gpus(generate)
    if servers.on_cpu(serve, gpus):
        variables |= visible(())
    elif gpus is not None:
        variables |= visible(gpus)
    if (path := servers.model_path(serve)).is_dir():
        # transformers serve lists the models of the hub's cache, which it refuses to serve, and fails without a cache
        variables["HF_HUB_CACHE"] = str(path)
    return variables


def run(serve: Serve, generate: Generate | None = None, *, timeout: float = START_TIMEOUT) -> int:
    """Serve until the server ends or Ctrl-C; SIGTERM does as Ctrl-C.

    Args:
        serve: what to serve and where.
        generate: names the GPUs.
        timeout: seconds that the server has until it answers.

    Returns:
        0 if the server ended by itself in order, 1 if it failed (stderr says why), 130 if it was interrupted.

    Raises:
        InputError: if it cannot be started as the settings say; then nothing was started.
    """
    try:
        with stoppable(), _serving(serve, generate, timeout) as server:
            _say(f"serving at {address.parse(serve.host_port).endpoint}; Ctrl-C ends it; log: {server.log}")
            if server.process.wait():
                raise server.failure(f"the server ended with code {server.process.returncode}")
    except ServerFailed as error:
        _say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        _say("interrupted; the server is stopped")
        return 130
    return 0


@contextmanager
def running(
    serve: Serve,
    generate: Generate | None = None,
    *,
    timeout: float = START_TIMEOUT,
    trust_remote_code: bool = False,
) -> Iterator[str]:
    """Serve for the length of a block, which gets the endpoint's base URL (``http://HOST:PORT/v1``).

    The server ends with the block, and with this process even if that is killed. Warnings are told by
    :func:`preflight` alone.

    Raises:
        InputError: if it cannot be started as the settings say; then nothing was started.
        ServerFailed: if it does not answer within ``timeout`` seconds, or ended and with it what the block did.
    """
    with _serving(serve, generate, timeout, trust_remote_code=trust_remote_code) as server:
        try:
            yield address.parse(serve.host_port).endpoint
        except Exception as error:
            if not server.alive():  # the reason of whatever the block met
                raise server.failure("the server ended before its time") from error
            raise


@contextmanager
def _serving(
    serve: Serve, generate: Generate | None, timeout: float, *, trust_remote_code: bool = False
) -> Iterator[_Server]:
    if errors := [finding for finding in preflight(serve, generate) if finding.severity == "error"]:
        raise InputError(errors)
    choice = choose(serve, _gpus(generate))
    _say(f"starting {choice.name} ({choice.why}) for {servers.model_path(serve)}")
    if limits := LIMITS[choice.name]:
        _say(f"note: {limits}")
    typed = command(serve, generate, trust_remote_code=trust_remote_code)
    with _started(typed, environment(serve, generate)) as server:
        if not ready.wait(f"{address.parse(serve.host_port).root}/health", server.alive, timeout):
            late = f"the server did not answer within {timeout:g} seconds"
            raise server.failure(late if server.alive() else "the server ended before it answered")
        yield server


@contextmanager
def _started(command: list[str], variables: dict[str, str]) -> Iterator[_Server]:
    """Run a command under a keeper, what it prints going to a log that is removed if all went well."""
    descriptor, name = tempfile.mkstemp(prefix="ilab-serve-", suffix=".log")
    keep = [sys.executable, "-m", keeper.__name__, str(os.getpid()), *command]
    with os.fdopen(descriptor, "wb") as log:
        process = start(keep, variables, stdout=log, stderr=log)
    server, keep_log = _Server(process, Path(name)), False
    try:
        yield server
    except BaseException as error:
        keep_log = isinstance(error, ServerFailed) or not server.alive()
        raise
    finally:
        stop(process)
        if not keep_log:
            server.log.unlink(missing_ok=True)


def _gpus(generate: Generate | None) -> servers.Gpus:
    return generate.gpus if generate else None


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
