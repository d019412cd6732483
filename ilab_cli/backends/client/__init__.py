"""Asking models: many calls at once to OpenAI-compatible endpoints, kept in a journal. Nothing here knows what for.

``Client`` is loaded when it is used, so that reading a pipeline, which needs ``requests`` alone, needs no HTTP library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ilab_cli.backends.client.client import Client

__all__ = ["Client"]


def __getattr__(name: str) -> Any:
    if name != "Client":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from ilab_cli.backends.client.client import Client

    return Client
