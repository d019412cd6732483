"""Which models the endpoints serve, and whether anybody is there at all: asked once at the start, and after a 404."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

from ilab_cli.backends.client.endpoint import Endpoint
from ilab_cli.backends.client.failures import LONGEST_WAIT, Failure, Kind, delay
from ilab_cli.backends.client.requests import EndpointFailed
from ilab_cli.backends.client.settings import EndpointSettings

__all__ = ["find_model", "model_names", "names_in"]

_SECONDS = 10.0


async def find_model(endpoints: Sequence[Endpoint], settings: EndpointSettings) -> str:
    """The model to ask: the one in the settings, else the first that an endpoint names. Who is away is set aside.

    Raises:
        EndpointFailed: if no endpoint is there, the key is refused, or none is wanted and none is named.
    """
    outcomes = await asyncio.gather(*(_ask(endpoint, settings) for endpoint in endpoints))
    if all(endpoint.pauses for endpoint in endpoints):
        raise EndpointFailed("; ".join(f"{endpoint.url}: {endpoint.trouble}" for endpoint in endpoints))
    named = [name for outcome in outcomes for name in outcome]
    if not settings.model and not named:
        why = f" ({endpoints[0].trouble})" if endpoints[0].trouble else ""
        message = f"{endpoints[0].url} does not say which models it serves{why}"
        raise EndpointFailed(f"{message}: set {settings.settings.model}")
    return settings.model or named[0]


async def model_names(endpoint: Endpoint) -> list[str]:
    """The models that an endpoint says it serves; none if it does not say."""
    try:
        return names_in(await endpoint.models(_SECONDS))
    except Failure:
        return []


async def _ask(endpoint: Endpoint, settings: EndpointSettings) -> list[str]:
    """The models of an endpoint, which is set aside if it is away, or goes on saying that it is not ready."""
    tries = 0
    while True:
        try:
            return names_in(await endpoint.models(min(settings.request_timeout, _SECONDS)))
        except Failure as error:
            failed = error
        tries += 1
        endpoint.trouble = str(failed)
        if failed.kind is Kind.KEY:
            raise EndpointFailed(f"{endpoint.url} refuses the key ({settings.settings.key}): {failed}")
        wait = failed.wait or 0.0
        is_over = tries > settings.max_retries or wait > LONGEST_WAIT
        if failed.kind is Kind.UNREACHABLE or (failed.kind is Kind.OVERLOAD and is_over):
            endpoint.set_aside(failed.wait)
            return []
        if failed.kind in (Kind.NOT_FOUND, Kind.WRONG) or is_over:
            return []
        await asyncio.sleep(wait + delay(tries))


def names_in(content: bytes) -> list[str]:
    """The models that the body of an answer to ``/models`` names; none if it is no such body."""
    try:
        return [str(model["id"]) for model in json.loads(content)["data"]]
    except (ValueError, LookupError, TypeError, RecursionError):
        return []
