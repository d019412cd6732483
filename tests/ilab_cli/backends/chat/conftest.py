"""An endpoint that streams: it answers with how many turns it got and the words of the last question."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

for module in ("aiohttp", "prompt_toolkit"):
    pytest.importorskip(module, reason="needs the chat extra")


class Streaming(ThreadingHTTPServer):
    """What was asked, and how to answer: with a status, slowly, all at once, or broken off."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.status = 200
        self.pause = 0.0
        self.whole = False
        self.breaks_off = False

    def handle_error(self, *_: Any) -> None:
        """Say nothing of clients that went away."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class _Handler(BaseHTTPRequestHandler):
    server: Streaming
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._json({"data": [{"id": "tiny"}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(body)
        self.server.keys.append(self.headers.get("Authorization", ""))
        text = f"{len(body['messages'])} turns: {body['messages'][-1]['content']}"
        if self.server.status != 200:
            self._json({"error": {"message": "not now"}}, self.server.status)
        elif self.server.whole:
            self._json({"choices": [{"message": {"content": text}, "finish_reason": "stop"}]})
        else:
            self._stream(text)

    def _json(self, data: Any, status: int = 200) -> None:
        content = json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _stream(self, text: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self._event({"choices": [{"delta": {"role": "assistant"}}]})
        for number, word in enumerate(text.split(" ")):
            self._event({"choices": [{"delta": {"content": f" {word}" if number else word}}]})
            time.sleep(self.server.pause)
            if self.server.breaks_off and number:
                self.connection.close()
                return
        self.wfile.write(b": a comment\n\ndata: [DONE]\n\n")
        self.close_connection = True

    def _event(self, data: Any) -> None:
        self.wfile.write(b"data: " + json.dumps(data).encode() + b"\n\n")
        self.wfile.flush()


@pytest.fixture
def endpoint() -> Iterator[Streaming]:
    server = Streaming()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()
