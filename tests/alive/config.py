"""Cases of ``config.yaml``: what a chat sends and shows, the command of a server, which profile is in force."""

from __future__ import annotations

import asyncio
import io
import json
import os
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any
from unittest.mock import patch

from ilab_profiles import Finding, Generate
from ilab_profiles.models.config import Config
from tests.alive.case import Case
from tests.alive.workshop import Workshop

Look = Callable[[Config, Workshop], Any]


# --- chat -------------------------------------------------------------------------------------------------------------


@contextmanager
def endpoint() -> Iterator[Any]:
    """An endpoint that streams answers, over HTTP."""
    from tests.ilab_cli.backends.chat.conftest import Streaming

    server = Streaming()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def asked(config: Config, workshop: Workshop) -> dict[str, Any]:
    """What the endpoint is asked when a person types one line."""
    from ilab_cli.backends.chat.launch import Place, run

    with endpoint() as server, patch("sys.stdin", io.StringIO("hello\n")), redirect_stdout(io.StringIO()):
        assert run(config.chat, config.serve, Generate(), Place(server.url)) == 0
    (body,) = server.asked
    return dict(body)


def sent(name: str) -> Look:
    return lambda config, workshop: asked(config, workshop).get(name)


def turns(config: Config, workshop: Workshop) -> list[str]:
    return [message["content"] for message in asked(config, workshop)["messages"][1:]]


def instructions(config: Config, workshop: Workshop) -> str:
    return str(asked(config, workshop)["messages"][0]["content"])


def logged(config: Config, workshop: Workshop) -> list[str]:
    """The folders in which the log of a chat is."""
    asked(config, workshop)
    logs = list(workshop.folder.rglob("chat-*.json"))
    for log in logs:
        log.unlink()
    return [log.parent.name for log in logs]


def session(workshop: Workshop) -> str:
    file = workshop.folder / "session.json"
    said = [{"role": "user", "content": "earlier"}, {"role": "assistant", "content": "yes"}]
    file.write_text(json.dumps({"messages": said}))
    return str(file)


def model_to_serve(config: Config, workshop: Workshop) -> list[str]:
    """What is wrong with the model that a chat would have served, as nobody serves one."""
    from ilab_cli.backends.chat.launch import Place, preflight

    findings = preflight(config.chat, config.serve, Generate(), Place())
    return [finding.rule for finding in findings if finding.path == "chat.model"]


def keys(config: Config, workshop: Workshop) -> str:
    """By whose keys a line is edited."""
    from prompt_toolkit.application import create_app_session
    from prompt_toolkit.input import DummyInput
    from prompt_toolkit.output import DummyOutput

    from ilab_cli.backends.chat.screen import _Terminal

    with create_app_session(DummyInput(), DummyOutput()), redirect_stderr(io.StringIO()):
        return str(_Terminal(config.chat, [])._prompt.editing_mode)


def cut_off(config: Config, workshop: Workshop) -> bool:
    """Whether an answer of more lines than the screen has is cut off while it comes."""
    from prompt_toolkit.application import create_app_session
    from prompt_toolkit.input import DummyInput
    from prompt_toolkit.output import DummyOutput

    from ilab_cli.backends.chat.screen import _Terminal

    async def pieces() -> AsyncIterator[str]:
        yield "line\n\n" * 30
        await asyncio.sleep(0.3)

    terminal = {"LINES": "8", "COLUMNS": "40", "FORCE_COLOR": "1", "TERM": "xterm"}
    seen = io.StringIO()
    with patch.dict(os.environ, terminal), redirect_stdout(seen), redirect_stderr(io.StringIO()):
        with create_app_session(DummyInput(), DummyOutput()):
            screen = _Terminal(config.chat, [])
        asyncio.run(screen.show(pieces(), []))
    return "..." in seen.getvalue()


LOGS = {"chat.logs_dir": lambda at: str(at.folder / "logs")}


def unused(workshop: Workshop) -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


CHAT = [
    Case(
        "chat.context",
        "cli_helper",
        instructions,
        lambda text: text.startswith("You are a careful"),
        lambda text: text.startswith("You help people to use a command line"),
        LOGS,
    ),
    Case("chat.greedy_mode", True, sent("temperature"), None, 0, LOGS),
    Case("chat.max_tokens", 7, sent("max_tokens"), None, 7, LOGS),
    Case("chat.session", session, turns, ["hello"], ["earlier", "yes", "hello"], LOGS),
    Case("chat.logs_dir", lambda at: str(at.folder / "other"), logged, ["logs"], ["other"], LOGS),
    Case("chat.model", lambda at: at.student, model_to_serve, ["model-not-found"], [], {"serve.host_port": unused}),
    Case("chat.vi_mode", True, keys, "EditingMode.EMACS", "EditingMode.VI"),
    Case("chat.visible_overflow", False, cut_off, False, True),
]


# --- serve ------------------------------------------------------------------------------------------------------------


def option(name: str) -> Look:
    """The value of an option in the command of llama.cpp's server, the one that knows all of them."""

    def look(config: Config, workshop: Workshop) -> str:
        from ilab_cli.backends.serve.servers import Choice, command

        parts = command(Choice("llama.cpp", ""), config.serve)
        return parts[parts.index(name) + 1]

    return look


SERVE = [
    Case("serve.gpu_layers", 5, option("--n-gpu-layers"), "999", "5"),
    Case("serve.host_port", "127.0.0.1:9", option("--port"), "8000", "9"),
    Case("serve.max_ctx_size", 99, option("--ctx-size"), "4096", "99"),
    Case("serve.model_path", "/m.gguf", option("--model"), lambda path: path.endswith("granite-7b-lab"), "/m.gguf"),
]


# --- the program ------------------------------------------------------------------------------------------------------


@contextmanager
def in_force(config: Config, workshop: Workshop) -> Iterator[Any]:
    """The settings in force where these are in ``config.yaml``."""
    from ilab_cli import output, session
    from ilab_profiles.yaml.write import dump, to_data

    file = workshop.folder / "config.yaml"
    file.write_text(dump(to_data(config), lambda path: ""), encoding="utf-8")
    others = {name: value for name, value in os.environ.items() if not name.startswith("ILAB_")}
    with patch.dict(os.environ, others | {"ILAB_CONFIG": str(file)}, clear=True):
        try:
            yield session.in_force()
        finally:
            output.configure("INFO")


def warned(config: Config, workshop: Workshop) -> bool:
    """Whether a warning is printed."""
    from ilab_cli import output

    with in_force(config, workshop), redirect_stderr(io.StringIO()) as printed:
        output.warn([Finding("rule", "look out", severity="warning")])
    return "look out" in printed.getvalue()


def gpus_seen(config: Config, workshop: Workshop) -> str | None:
    """The GPUs that a training with the settings in force sees; all if it is not said."""
    from ilab_cli.backends.train.launch import environment

    with in_force(config, workshop) as effective:
        return environment(effective.profile.train).get("CUDA_VISIBLE_DEVICES")


PROGRAM = [
    Case("general.log_level", "ERROR", warned, True, False),
    Case("profile", "single_gpu", gpus_seen, "", lambda seen: seen != ""),
]

CASES = [*CHAT, *SERVE, *PROGRAM]
