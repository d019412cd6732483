"""A request as it travels, and the keys that it has in the journal. The body is turned into bytes once for both."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from ilab_cli.backends.client.requests import Request

__all__ = ["Payload"]


class Payload:
    """A request for a model.

    Args:
        request: what is asked; ``n`` in its body is passed over, as the number of samples is told apart from it.
        model: name of the model.

    Attributes:
        path: path below the base URL of an endpoint.
        model: the model that is asked, which the body may name itself.
    """

    def __init__(self, request: Request, model: str) -> None:
        self.request = request
        self.path = "/chat/completions" if "messages" in request.body else "/completions"
        body: dict[str, Any] = {"model": model, **request.body}
        body.pop("n", None)
        self._seed = body.pop("seed", None)
        self.model = str(body["model"])
        self._text = json.dumps(body).encode()
        asked = f"{request.row}\0{request.block}\0{self.path}\0{self._seed}\0"
        self._hash = hashlib.sha256(asked.encode("utf-8", "surrogatepass") + self._text)

    def key(self, sample: int) -> str:
        """Key of one sample: SHA-256 over row, block, path, body, model and the number of the sample."""
        digest = self._hash.copy()
        digest.update(b"%d" % sample)
        return digest.hexdigest()

    def content(self, sample: int, number: int) -> bytes:
        """The bytes to send for that many samples, the first of which is ``sample``."""
        added: dict[str, int] = {}
        if number > 1:
            added["n"] = number
        if self._seed is not None:
            added["seed"] = self._seed + sample
        return self._text[:-1] + b", " + json.dumps(added).encode()[1:] if added else self._text
