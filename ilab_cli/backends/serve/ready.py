"""Waiting until a server answers. Knows nothing of which server it is."""

from __future__ import annotations

import http.client
import json
import sys
import time
import urllib.request
from collections.abc import Callable

from ilab_cli.output import lively

__all__ = ["names_models", "wait"]

_PAUSE = 0.25  # seconds between questions
_PATIENCE = 5.0  # seconds that one question may take


def wait(url: str, alive: Callable[[], bool], timeout: float) -> bool:
    """Ask ``url`` until it answers with a status of success, for at most ``timeout`` seconds.

    Args:
        url: an address that is answered once the server can serve.
        alive: tells whether the server still runs; there is no waiting for one that ended.
        timeout: seconds.

    Returns:
        True if it answered, False if it ended or time is up.
    """
    start = time.monotonic()
    try:
        while alive() and (waited := time.monotonic() - start) < timeout:
            if _answers(url):
                return alive()  # else another program answered
            _note(f"waiting for the server to answer: {waited:.0f} s")
            time.sleep(_PAUSE)
    finally:
        _note("")
    return False


def names_models(endpoint: str) -> bool:
    """Whether the server at a base URL tells which models it serves."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # it is on this machine
    try:
        with opener.open(f"{endpoint}/models", timeout=_PATIENCE) as response:
            return bool(json.load(response)["data"])
    except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError):
        return False


def _answers(url: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # it is on this machine
    try:
        with opener.open(url, timeout=_PATIENCE) as response:
            return bool(response.status == http.client.OK)
    except (OSError, http.client.HTTPException):
        return False


def _note(text: str) -> None:
    """Show a line on a terminal in place of the one before."""
    if lively(sys.stderr):
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
