"""Chats as people have them: lines through a pipe, a terminal, an endpoint that fails."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ilab_cli.backends.chat.conversation import CONTEXTS
from tests.ilab_cli.backends.chat.conftest import Streaming
from tests.programs import ilab_in

Chat = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def chat(tmp_path: Path, endpoint: Streaming) -> Chat:
    """Chats with the endpoint by way of a pipe."""

    def run(lines: str, *flags: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "ilab_cli", "model", "chat", "--endpoint-url", endpoint.url, *flags],
            cwd=tmp_path,
            env={**os.environ, **variables},
            input=lines,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def roles(asked: dict[str, Any]) -> str:
    return " ".join(message["role"][0] for message in asked["messages"])


def test_each_line_is_answered_with_what_was_said_before_in_mind(chat: Chat, endpoint: Streaming) -> None:
    done = chat("one\n\ntwo\n")
    assert (done.returncode, done.stdout) == (0, "2 turns: one\n4 turns: two\n")
    assert [roles(asked) for asked in endpoint.asked] == ["s u", "s u a u"]
    assert all(asked["stream"] and asked["model"] == "tiny" for asked in endpoint.asked)
    assert endpoint.asked[0].keys() == {"model", "messages", "stream"}
    assert "Traceback" not in done.stderr


def test_settings_of_the_chat_reach_the_endpoint(chat: Chat, endpoint: Streaming) -> None:
    flags = ["--greedy-mode", "--max-tokens=7", "--context=cli_helper", "--model=other"]
    assert chat("one\n", *flags, OPENAI_API_KEY="very-secret").returncode == 0
    (asked,) = endpoint.asked
    assert (asked["temperature"], asked["max_tokens"], asked["model"]) == (0, 7, "other")
    assert asked["messages"][0]["content"] == CONTEXTS["cli_helper"]
    assert endpoint.keys == ["Bearer very-secret"]


def test_commands_clear_save_and_load(chat: Chat, endpoint: Streaming, tmp_path: Path) -> None:
    done = chat("one\n/save kept.json\n/clear\ntwo\n/load kept.json\nthree\n/context cli_helper\nfour\n/quit\nfive\n")
    assert done.stdout.splitlines() == ["2 turns: one", "2 turns: two", "4 turns: three", "2 turns: four"]
    assert endpoint.asked[2]["messages"][1]["content"] == "one"
    assert endpoint.asked[3]["messages"][0]["content"] == CONTEXTS["cli_helper"]
    kept = json.loads((tmp_path / "kept.json").read_text())
    assert (kept["model"], [message["content"] for message in kept["messages"]]) == ("tiny", ["one", "2 turns: one"])


def test_what_was_said_is_logged_and_a_log_can_be_continued(chat: Chat, endpoint: Streaming, tmp_path: Path) -> None:
    assert chat("one\n", "--logs-dir=logs").returncode == 0
    (log,) = (tmp_path / "logs").iterdir()
    done = chat("two\n", f"--session={log}", "--logs-dir=logs")
    assert done.stdout == "4 turns: two\n"
    assert len(json.loads(max((tmp_path / "logs").iterdir()).read_text())["messages"]) in (2, 4)


@pytest.mark.parametrize("line", ["/what", "/load", "/context nothing", "/load gone.json", "/help"])
def test_a_wrong_command_asks_nobody_and_the_chat_goes_on(chat: Chat, endpoint: Streaming, line: str) -> None:
    done = chat(f"{line}\none\n")
    assert (done.returncode, done.stdout, len(endpoint.asked)) == (0, "2 turns: one\n", 1)
    assert ("error" in done.stderr) is (line != "/help")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("fault", ["status", "breaks_off"])
def test_an_answer_that_fails_is_told_and_forgotten(chat: Chat, endpoint: Streaming, fault: str) -> None:
    setattr(endpoint, fault, 500 if fault == "status" else True)
    endpoint.pause = 0.05
    done = chat("one\n")
    assert done.returncode == 1
    assert "error: no answer" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_endpoint_that_does_not_stream_will_do(chat: Chat, endpoint: Streaming) -> None:
    endpoint.whole = True
    assert chat("one\n").stdout == "2 turns: one\n"


@pytest.mark.parametrize(
    ("flags", "rule"),
    [
        (["--endpoint-url=http://a b"], "endpoint-url"),
        (["--session=gone.json"], "unreadable-file"),
        (["--context=defualt"], "unknown-context"),
        (["--max-tokens=0"], "bad-value"),
        (["--logs-dir=file/below"], "not-a-folder"),
    ],
)
def test_bad_input_is_refused_before_anybody_is_asked(
    chat: Chat, endpoint: Streaming, tmp_path: Path, flags: list[str], rule: str
) -> None:
    (tmp_path / "file").touch()
    done = chat("one\n", *flags)
    assert (done.returncode, f"error[{rule}]" in done.stderr) == (2, True), done.stderr
    assert endpoint.asked == []


@pytest.mark.parametrize("text", ["[]", '{"messages": 3}', '{"messages": [{"role": "robot", "content": "a"}]}', "{"])
def test_a_session_that_is_none_is_refused_at_its_place(chat: Chat, tmp_path: Path, text: str) -> None:
    (tmp_path / "s.json").write_text(text)
    done = chat("one\n", "--session=s.json")
    assert done.returncode == 2
    assert "s.json:1:" in done.stderr


def test_nobody_to_chat_with(tmp_path: Path, endpoint: Streaming) -> None:
    endpoint.shutdown()
    endpoint.server_close()
    ilab = ilab_in(tmp_path)
    done = ilab("model", "chat", "--endpoint-url", endpoint.url)
    assert (done.returncode, "error: " in done.stderr) == (1, True)
    done = ilab("model", "chat", "--model=nothing")
    assert (done.returncode, "error[model-not-found] chat.model" in done.stderr) == (2, True)


# --- on a terminal ----------------------------------------------------------------------------------------------------


_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_ASKS = "\x1b[?2004h"


def _kept(code: re.Match[str]) -> str:
    """What stays of a code: the one that is waited for, which may have come along with what was waited for before."""
    return _ASKS if code[0] == _ASKS else ""


class Person:
    """Somebody at a terminal."""

    def __init__(self, folder: Path, url: str) -> None:
        self.master, terminal = pty.openpty()
        self.shown = ""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ilab_cli", "model", "chat", "--endpoint-url", url],
            cwd=folder,
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            start_new_session=True,
            preexec_fn=_own_terminal,
            env={**os.environ, "TERM": "xterm"},
        )
        os.close(terminal)

    def sees(self, wanted: str) -> None:
        """Wait until the terminal has shown something since it was last waited for."""
        while wanted not in (plain := _CODES.sub(_kept, self.shown)):
            text = self._read()
            assert text, self.shown
            self.shown += text
        self.shown = plain.partition(wanted)[2]

    def is_asked(self) -> None:
        """Wait until a line can be typed, which the program says by asking for pasted text in brackets."""
        while _ASKS not in self.shown:
            text = self._read()
            assert text, self.shown
            self.shown += text
        self.shown = self.shown.partition(_ASKS)[2]

    def _read(self) -> str:
        ready = select.select([self.master], [], [], 30)[0]
        try:
            text = os.read(self.master, 4096).decode(errors="replace") if ready else ""
        except OSError:  # how Linux tells that the other side is closed
            return ""
        if "\x1b[6n" in text:  # the program asks where the cursor is
            os.write(self.master, b"\x1b[1;1R")
        return text

    def types(self, text: str) -> None:
        os.write(self.master, text.encode())

    def end(self) -> int:
        while self._read():
            pass
        self.process.kill()  # if it does not end by itself
        os.close(self.master)
        return self.process.wait(30)


def _own_terminal() -> None:
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def test_a_terminal_shows_answers_as_they_come_and_ctrl_c_stops_one(tmp_path: Path, endpoint: Streaming) -> None:
    person = Person(tmp_path, endpoint.url)
    person.is_asked()
    person.types("hello\r")
    person.sees("2 turns: hello")
    person.is_asked()
    endpoint.pause = 5
    person.types("slow one\r")
    person.sees("4")
    person.process.send_signal(signal.SIGINT)
    person.sees("stopped")
    endpoint.pause = 0
    person.is_asked()
    person.types("more\r")
    person.sees("turns: more")
    person.is_asked()
    person.types("\x04")
    assert person.end() == 0
    assert roles(endpoint.asked[2]) == "s u a u a u"
