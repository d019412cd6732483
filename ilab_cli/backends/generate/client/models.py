"""Which models the endpoints serve, and whether anybody is there at all: asked once at the start, and after a 404."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

from ilab_cli.backends.generate.client.endpoint import Endpoint
from ilab_cli.backends.generate.client.failures import Failure, Kind
from ilab_cli.backends.generate.client.requests import EndpointFailed

__all__ = ["find_model", "model_names"]

_SECONDS = 10.0


async def find_model(endpoints: Sequence[Endpoint], wanted: str | None, timeout: float) -> str:
    """The model to ask: the wanted one, else the first that an endpoint names. Endpoints that are away are set aside.

    Raises:
        EndpointFailed: if no endpoint is there, or none is wanted and none is named.
        Failure: of kind ``KEY``, if an endpoint refuses the key.
    """
    outcomes = await asyncio.gather(*(_ask(endpoint, min(timeout, _SECONDS)) for endpoint in endpoints))
    away = [outcome for outcome in outcomes if isinstance(outcome, str)]
    if len(away) == len(endpoints):
        raise EndpointFailed("; ".join(away))
    named = [name for outcome in outcomes if not isinstance(outcome, str) for name in outcome]
    if not wanted and not named:
        raise EndpointFailed(f"{endpoints[0].url} does not say which models it serves: set generate.model (--model)")
    return wanted or named[0]


async def model_names(endpoint: Endpoint) -> list[str]:
    """The models that an endpoint says it serves; none if it does not say."""
    try:
        return _names(await endpoint.models(_SECONDS))
    except Failure:
        return []


async def _ask(endpoint: Endpoint, seconds: float) -> list[str] | str:
    """The models of an endpoint, or why it is set aside."""
    try:
        return _names(await endpoint.models(seconds))
    except Failure as error:
        if error.kind is Kind.KEY:
            raise
        if error.reason.startswith("HTTP"):
            return []
        endpoint.set_aside(str(error))
        return f"{endpoint.url}: {error}"


def _names(content: bytes) -> list[str]:
    try:
        return [str(model["id"]) for model in json.loads(content)["data"]]
    except (ValueError, LookupError, TypeError):
        return []
