"""The teacher on this machine: it is the run that starts it where nobody else did, and that ends it then.

That is so where the endpoint is the address of ``config.yaml``'s section ``serve``, nothing listens there, and the
model that the section names is there. ``generate.gpus`` are the GPUs that it sees. A server that does not tell the name
of its model, as ``transformers serve``, is asked for the one of that section, whoever started it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from ilab_cli.backends.client.settings import Asked, EndpointSettings
from ilab_cli.backends.serve import address, launch, ready, servers
from ilab_profiles import Generate
from ilab_profiles.loading.config_file import config_settings
from ilab_profiles.models.config import Serve

__all__ = ["advice", "endpoint_settings", "served", "to_be_served"]

_LOCAL = {"localhost": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}
_PATIENCE = 10.0  # seconds for one look at the server


@contextmanager
def served(generate: Generate) -> Iterator[Generate]:
    """Serve the teacher for the length of a block, if it is for the run to do.

    Returns:
        the settings, with the name of the model where the server would not tell it.

    Raises:
        InputError: if it cannot be started as the settings say.
        ServerFailed: if it does not answer.
    """
    if to_be_served(generate):
        with launch.running(_section(), generate) as endpoint:
            yield _with_model(generate, endpoint)
    elif _is_ours(generate):
        yield _with_model(generate, address.parse(_section().host_port).endpoint)
    else:
        yield generate


def endpoint_settings(generate: Generate) -> EndpointSettings:
    """What the client that asks the teacher is told."""
    return EndpointSettings(
        generate.model_endpoint_url,
        Asked("generate.model_endpoint_url", "generate.api_key", "generate.model", "generate.request_timeout"),
        generate.model or "",
        generate.api_key.get_secret_value() if generate.api_key else "",
        generate.max_concurrency,
        generate.max_retries,
        generate.request_timeout,
    )


def to_be_served(generate: Generate) -> bool:
    """Whether the run has to start its teacher."""
    return _is_ours(generate) and not address.listens("{}:{}".format(*_place(generate.model_endpoint_url)))


def advice(generate: Generate) -> str:
    """What to do where nobody listens at an endpoint on this machine; empty where that is not what is wrong."""
    host, port = _place(generate.model_endpoint_url)
    if host not in _LOCAL.values() or address.listens(f"{host}:{port}"):
        return ""
    return (
        "start a teacher there: `ilab model serve` serves the model of config.yaml's section serve, as the run itself "
        "does where that model is there; or name another endpoint with --model-endpoint-url"
    )


def _is_ours(generate: Generate) -> bool:
    """Whether the endpoint is where ``config.yaml`` serves a model, and the model is there."""
    serve = _section()
    place = _place(address.parse(serve.host_port).root)
    return _place(generate.model_endpoint_url) == place and servers.model_path(serve).exists()


def _section() -> Serve:
    return config_settings()[0].serve.at_home()


def _place(url: str) -> tuple[str, int]:
    """Host and port of an endpoint, with one name for each place on this machine; port 0 for what is no address."""
    try:
        parts = urlsplit(url if "://" in url else f"//{url}")
        host, port = parts.hostname or "", parts.port or 0
    except ValueError:
        return "", 0
    return _LOCAL.get(host, host), port


def _with_model(generate: Generate, endpoint: str) -> Generate:
    if generate.model or ready.names_models(endpoint):
        return generate
    return generate.model_copy(update={"model": str(servers.model_path(_section()))})
