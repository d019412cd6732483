"""Launching a chat: with whom, what can be known to be wrong before, and how it ends. Imports nothing heavy."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from ilab_cli.backends.base import interrupted, output_folder, stoppable
from ilab_cli.extras import missing_extra
from ilab_cli.output import say, warn
from ilab_profiles import Finding, Generate, InputError
from ilab_profiles.models.config import Chat, Serve

__all__ = ["Place", "preflight", "run"]

_KEY = "OPENAI_API_KEY"


class Place(NamedTuple):
    """With whom the command line says to chat.

    Attributes:
        url: an endpoint, if it names one.
        named: whether it names the model.
    """

    url: str | None = None
    named: bool = False


def preflight(chat: Chat, serve: Serve, generate: Generate, place: Place) -> list[Finding]:
    """All that can be known to be wrong before the chat, warnings included. Never writes."""
    from ilab_cli.backends.chat.conversation import Conversation, unknown_context

    findings = [
        *missing_extra("chat", "ilab model chat"),
        *unknown_context(chat.context),
        *output_folder(chat.logs_dir, "chat.logs_dir"),
    ]
    try:
        if chat.session:
            Conversation.load(Path(chat.session))
    except InputError as error:
        findings += [replace(finding, path="chat.session") for finding in error.findings]
    return [*findings, *_nobody(chat, serve, generate, place)]


def _nobody(chat: Chat, serve: Serve, generate: Generate, place: Place) -> Iterator[Finding]:
    """Why there is nobody to chat with; warnings of the server to start are told, too."""
    from ilab_cli.backends.client.addresses import base_urls
    from ilab_cli.backends.serve import address, launch

    try:
        if place.url is not None:
            base_urls(place.url, "--endpoint-url")
        elif not address.listens(serve.host_port):
            hint = f"nobody serves at {serve.host_port} either; name an endpoint with --endpoint-url"
            for finding in launch.preflight(_serving(chat, serve), generate):
                if finding.rule == "always-the-same-answer":
                    continue  # in a chat one answer is what is wanted
                path = "chat.model" if finding.path == "serve.model_path" else finding.path
                yield replace(finding, path=path, hint=finding.hint or hint)
    except InputError as error:
        yield from error.findings


def run(chat: Chat, serve: Serve, generate: Generate, place: Place) -> int:
    """Chat until the person ends it.

    Returns:
        0 if the last question was answered, 1 if nobody answered, 130 or 143 if the chat was interrupted.
    """
    from ilab_cli.backends.chat.talk import talk
    from ilab_cli.backends.client.requests import Stopped
    from ilab_cli.backends.client.settings import Asked, EndpointSettings
    from ilab_cli.backends.serve.launch import ServerFailed

    asked = Asked("--endpoint-url", _KEY, "chat.model", "time")
    try:
        with stoppable(), _endpoint(chat, serve, generate, place) as (url, model):
            return talk(chat, EndpointSettings(url, asked, model, os.environ.get(_KEY, ""), max_retries=2), url)
    except (Stopped, ServerFailed) as error:
        warn([f"error: {error}"])
        return 1
    except KeyboardInterrupt:
        say("interrupted")
        return interrupted()


@contextmanager
def _endpoint(chat: Chat, serve: Serve, generate: Generate, place: Place) -> Iterator[tuple[str, str]]:
    """The endpoint's base URL and the model to ask for, empty for the one that it serves; served here if need be."""
    from ilab_cli.backends.client.addresses import base_urls
    from ilab_cli.backends.serve import address, launch, ready, servers

    named = chat.model if place.named else ""
    if place.url is not None:
        yield base_urls(place.url, "--endpoint-url")[0], named
    elif address.listens(serve.host_port):
        yield address.parse(serve.host_port).endpoint, named
    else:
        served = _serving(chat, serve)
        with launch.running(served, generate) as endpoint:
            yield endpoint, "" if ready.names_models(endpoint) else str(servers.model_path(served))


def _serving(chat: Chat, serve: Serve) -> Serve:
    return serve.model_copy(update={"model_path": chat.model})
