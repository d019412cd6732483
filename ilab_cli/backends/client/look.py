"""A look at endpoints before a run: who is there, takes the key and serves the model. Each is asked once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import aiohttp

from ilab_cli.backends.client.addresses import base_urls
from ilab_cli.backends.client.client import key_of
from ilab_cli.backends.client.endpoint import Endpoint
from ilab_cli.backends.client.failures import Failure, Kind
from ilab_cli.backends.client.served_models import names_in
from ilab_cli.backends.client.settings import EndpointSettings
from ilab_profiles import Finding, InputError
from ilab_profiles.diagnostics import Severity

__all__ = ["Look", "look"]

_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen.

    Attributes:
        models: the models that the endpoints name; none if they do not say.
        findings: what is wrong, warnings included.
    """

    models: tuple[str, ...]
    findings: tuple[Finding, ...]


def look(settings: EndpointSettings) -> Look:
    """Ask the endpoints for their models. One that is busy, or that does not say, is taken to be sound."""
    try:
        urls, key = base_urls(settings.address, settings.settings.address), key_of(settings)
    except InputError as error:
        return Look((), error.findings)
    seen = dict(zip(urls, asyncio.run(_ask(urls, key, settings)), strict=True))
    models = tuple(dict.fromkeys(chain.from_iterable(names for names in seen.values() if isinstance(names, list))))
    return Look(models, tuple(_findings(seen, models, settings)))


async def _ask(urls: list[str], key: str, settings: EndpointSettings) -> list[list[str] | Failure]:
    async def one(endpoint: Endpoint) -> list[str] | Failure:
        try:
            return names_in(await endpoint.models(_SECONDS))
        except Failure as failure:
            return failure

    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        return await asyncio.gather(*(one(Endpoint(url, session, key, settings)) for url in urls))


def _findings(
    seen: dict[str, list[str] | Failure], models: tuple[str, ...], settings: EndpointSettings
) -> Iterator[Finding]:
    setting = settings.settings
    failed = {url: each for url, each in seen.items() if isinstance(each, Failure)}
    away = {url: each for url, each in failed.items() if each.kind is Kind.UNREACHABLE}
    for url, failure in away.items():
        hint = "start it, or correct the address"
        severity: Severity = "error" if len(away) == len(seen) else "warning"
        yield Finding("endpoint-away", f"{url}: {failure}", setting.address, hint=hint, severity=severity)
    for url, failure in failed.items():
        if failure.kind is Kind.KEY:
            yield Finding("key-refused", f"{url} refuses the key: {failure}", setting.key)
    if settings.model and models and not failed and settings.model not in models:
        message = f"no endpoint serves {json.dumps(settings.model, ensure_ascii=False)}"
        yield Finding("model-not-served", message, setting.model, hint=f"served there: {', '.join(models)}")
