"""An endpoint of a tiny model that gives log probabilities of a prompt in one of two forms, and counts its calls."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar


class Served(ThreadingHTTPServer):
    """The server.

    Args:
        folder: the model.
        form: ``echo``, ``prompt_logprobs`` or ``none``: how it gives log probabilities of a prompt.
        limit: answers after which it holds every further call until ``go``.
        key: the key that it asks for.

    Attributes:
        asked: how often each prompt was asked.
        answered: calls that were answered.
        keys: the keys that came.
    """

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, folder: Path, form: str, limit: int = 10**9, key: str = "") -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        super().__init__(("127.0.0.1", 0), _Handler)
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = AutoModelForCausalLM.from_pretrained(folder)
        self.form, self.limit, self.key = form, limit, key
        self.asked: Counter[str] = Counter()
        self.answered = 0
        self.keys: set[str] = set()
        self.go = threading.Event()
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def choice(self, body: dict[str, Any]) -> dict[str, Any]:
        """What is answered to one prompt."""
        import torch

        prompt, form = body["prompt"], self.form
        tokens = self.tokenizer(prompt).input_ids
        with torch.no_grad():
            logits = self.model(torch.tensor([tokens])).logits[0].log_softmax(-1)
        values = [None, *(float(logits[place, token]) for place, token in enumerate(tokens[1:]))]
        best = [None, *(float(row.max()) for row in logits[:-1])]
        texts = [self.tokenizer.decode([token]) for token in tokens]
        said = self.tokenizer.decode([int(logits[-1].argmax())])
        answer: dict[str, Any] = {"index": 0, "text": said, "finish_reason": "length", "logprobs": None}
        if form == "echo" and body.get("echo"):
            offsets = [sum(map(len, texts[:place])) for place in range(len(texts) + 1)]
            answer["text"] = prompt + said
            answer["logprobs"] = {
                "tokens": [*texts, said],
                "token_logprobs": [*values, float(logits[-1].max())],
                "top_logprobs": [None, *({"~": value} for value in best[1:]), None],
                "text_offset": offsets,
            }
        if form == "prompt_logprobs" and body.get("prompt_logprobs"):
            answer["prompt_logprobs"] = [None] + [
                {str(token): {"logprob": value, "rank": 1 if value == top else 2, "decoded_token": text}}
                for token, value, top, text in zip(tokens[1:], values[1:], best[1:], texts[1:], strict=True)
            ]
        return answer


class _Handler(BaseHTTPRequestHandler):
    server: Served
    protocol_version = "HTTP/1.1"
    names: ClassVar = {"data": [{"id": "tiny"}]}

    def do_GET(self) -> None:
        self.reply(200, self.names)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        key = self.headers.get("Authorization", "").removeprefix("Bearer ")
        with self.server.lock:
            self.server.keys.add(key)
            self.server.asked[body["prompt"]] += 1
            held = sum(self.server.asked.values()) > self.server.limit
        if held:
            self.server.go.wait()
        with self.server.lock:
            choice = self.server.choice(body)
            self.server.answered += 1
        self.reply(200, {"choices": [choice]})

    def reply(self, status: int, data: Any) -> None:
        content = json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        try:
            self.wfile.write(content)
        except OSError:
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(folder: Path, form: str, **options: Any) -> Iterator[Served]:
    """Serve for the length of a block."""
    server = Served(folder, form, **options)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.go.set()
        server.shutdown()
        server.server_close()
        thread.join()
