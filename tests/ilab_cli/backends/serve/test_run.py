"""The real ``transformers serve``, and programs that behave as badly as a server can, in llama-server's place."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ilab_cli.backends.serve import keeper, launch
from ilab_profiles import InputError
from ilab_profiles.models.config import Serve

Settings = Callable[..., Serve]
Program = Callable[..., Path]

ANSWERS = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
host, port = (sys.argv[sys.argv.index(name) + 1] for name in ("--host", "--port"))
http.server.HTTPServer((host, int(port)), Handler).serve_forever()
"""
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
PARENT = """
import sys
from ilab_cli.backends.serve import launch
from ilab_profiles.models.config import Serve
sys.exit(launch.run(Serve.model_validate_json(sys.argv[1]), timeout=120))
"""


def get(url: str, body: dict[str, Any] | None = None) -> Any:
    data = json.dumps(body).encode() if body else None
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)


def get_late(url: str) -> None:
    """Ask a server that dies of it; like a client that tries again, complain some time later."""
    try:
        get(url, {"a": 1})
    finally:
        time.sleep(1)


def processes(word: str) -> list[int]:
    """Numbers of the processes whose command line has this word, zombies apart."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if word.encode() in (folder / "cmdline").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return found


def eventually(condition: Callable[[], object], seconds: float = 20) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def start(serve: Serve) -> subprocess.Popen[str]:
    """``launch.run`` in a process of its own."""
    return subprocess.Popen([sys.executable, "-c", PARENT, serve.model_dump_json()], stderr=subprocess.PIPE, text=True)


def told(process: subprocess.Popen[str], word: str) -> str:
    """What a process says on stderr up to the line that has this word."""
    assert process.stderr
    lines: list[str] = []
    for line in process.stderr:
        lines.append(line)
        if word in line:
            return "".join(lines)
    raise AssertionError("".join(lines))


@pytest.fixture(autouse=True)
def _logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "logs").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "logs"))
    monkeypatch.setattr("tempfile.tempdir", None)


def logs(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "logs").glob("ilab-serve-*.log"))


def test_transformers_serve_answers_a_chat(
    model_dir: Path, settings: Settings, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("fastapi")
    serve = settings(model_path=str(model_dir), gpu_layers=0)
    before = sorted(model_dir.rglob("*"))
    assert [finding.severity for finding in launch.preflight(serve)] == ["warning"]
    with launch.running(serve, timeout=120) as url:
        assert url == f"http://{serve.host_port}/v1"
        assert launch.preflight(serve)[0].rule == "port-in-use"
        messages = [{"role": "user", "content": "one two"}]
        answer = get(f"{url}/chat/completions", {"messages": messages, "max_tokens": 4})
        assert answer["choices"][0]["message"]["role"] == "assistant"
        assert answer["usage"]["completion_tokens"] <= 4
        named = {"model": str(model_dir), "messages": messages, "max_tokens": 4}
        assert get(f"{url}/chat/completions", named)["choices"][0]["message"] == answer["choices"][0]["message"]
        assert get(f"{url}/models")["data"] == []
        several = {"messages": messages, "max_tokens": 4, "n": 3, "response_format": {"type": "json_object"}}
        assert len(get(f"{url}/chat/completions", several)["choices"]) == 1
        with pytest.raises(urllib.error.HTTPError, match="422"):
            get(f"{url}/chat/completions", {"messages": messages, "top_k": 4})
    assert not processes(str(model_dir))
    assert not logs(tmp_path)
    assert sorted(model_dir.rglob("*")) == before
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("starting transformers (not vLLM, because the GPU is switched off) for ")
    assert launch.LIMITS["transformers"] in err
    assert "\r" not in err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_stops_the_server(
    settings: Settings, gguf: Path, program: Program, tmp_path: Path, number: int
) -> None:
    program("llama-server", ANSWERS)
    process = start(settings(model_path=str(gguf)))
    told(process, "serving at http://127.0.0.1:")
    process.send_signal(number)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert err == "interrupted; the server is stopped\n"
    assert not processes(str(gguf))
    assert not logs(tmp_path)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
@pytest.mark.parametrize("text", [ANSWERS, f"import os; os.fork()\n{DEAF}import time; time.sleep(99)"])
def test_a_killed_parent_leaves_no_orphan(settings: Settings, gguf: Path, program: Program, text: str) -> None:
    program("llama-server", text)
    process = start(settings(model_path=str(gguf)))
    assert eventually(lambda: len(processes(str(gguf))) >= 2)  # the keeper has the words of the server's command too
    process.kill()
    process.communicate()
    assert eventually(lambda: not processes(str(gguf)), keeper.GRACE + 10)


def test_a_server_deaf_to_sigterm_is_killed_at_the_second_ctrl_c(
    settings: Settings, gguf: Path, program: Program
) -> None:
    program("llama-server", DEAF + ANSWERS)
    process = start(settings(model_path=str(gguf)))
    told(process, "serving at")
    begin = time.monotonic()
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == 130
    assert time.monotonic() - begin < keeper.GRACE / 2
    assert not processes(str(gguf))


def test_a_server_that_fails_at_the_start_shows_the_end_of_its_log(
    settings: Settings, gguf: Path, program: Program, tmp_path: Path
) -> None:
    program("llama-server", "print(*range(100), sep='\\n'); raise SystemExit('no memory is left')")
    process = start(settings(model_path=str(gguf)))
    _, err = process.communicate(timeout=20)
    assert process.returncode == 1
    (log,) = logs(tmp_path)
    assert f"error: the server ended before it answered; its log is {log}, which ends:" in err
    assert "no memory is left" in err
    assert "    99\n" in err
    assert "    10\n" not in err
    assert "no memory is left" in log.read_text()


def test_a_server_that_never_answers_is_given_up(
    settings: Settings, gguf: Path, program: Program, tmp_path: Path
) -> None:
    program("llama-server", "print('loading', flush=True); import time; time.sleep(99)")
    with (
        pytest.raises(launch.ServerFailed, match=r"(?s)did not answer within 1 seconds.*loading"),
        launch.running(settings(model_path=str(gguf)), timeout=1),
    ):
        pytest.fail("it did not answer")
    assert not processes(str(gguf))
    assert logs(tmp_path)


def test_a_server_that_ends_while_it_is_used_is_the_reason(
    settings: Settings, gguf: Path, program: Program, port: int
) -> None:
    ends = "class Handler(Handler):\n    def do_POST(self): import os; os._exit(7)\n"
    program("llama-server", ANSWERS.replace("host, port", ends + "host, port"))
    serve = settings(model_path=str(gguf))
    with pytest.raises(launch.ServerFailed, match="ended before its time") as caught, launch.running(serve) as url:
        get_late(url)
    assert isinstance(caught.value.__cause__, OSError | ConnectionError)
    process = start(serve)
    told(process, "serving at")
    with pytest.raises(OSError, match=r"."):
        get(f"http://127.0.0.1:{port}", {"a": 1})
    _, err = process.communicate(timeout=20)
    assert process.returncode == 1
    assert re.match(r"error: the server ended with code 7; its log is ", err)


def test_a_server_that_ends_in_order_ends_the_run_with_0(settings: Settings, gguf: Path, program: Program) -> None:
    program("llama-server", ANSWERS.replace("serve_forever()", "handle_request()"))
    process = start(settings(model_path=str(gguf)))
    process.communicate(timeout=20)
    assert process.returncode == 0


def test_nothing_is_started_for_wrong_settings(settings: Settings, program: Program, tmp_path: Path) -> None:
    started = tmp_path / "started"
    program("llama-server", f"open({str(started)!r}, 'w')")
    with pytest.raises(InputError, match="model-not-found"):
        launch.run(settings(model_path=str(tmp_path / "absent.gguf")))
    assert not started.exists()
    assert os.listdir(tmp_path / "logs") == []
