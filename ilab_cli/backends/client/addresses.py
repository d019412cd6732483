"""Addresses of endpoints as people write them, and where calls go: to which address, and through which proxy.

Nothing here opens a connection.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit, urlunsplit
from urllib.request import getproxies, proxy_bypass

from ilab_profiles import Finding, InputError

__all__ = ["base_urls", "proxy_for"]

_CALLS = re.compile(r"(/chat)?/completions$|/models$")


def base_urls(text: str, setting: str) -> list[str]:
    """The base URLs, ending in ``/v1``, of endpoints that are written with commas between them.

    ``127.0.0.1:8000``, ``http://127.0.0.1:8000``, ``http://127.0.0.1:8000/v1`` and
    ``http://127.0.0.1:8000/v1/chat/completions`` are the same endpoint. Any other path stays as it is.
    ``setting`` is the dotted path of the setting that holds them.

    Raises:
        InputError: with a finding for every address that is none.
    """
    written = [part.strip() for part in text.split(",") if part.strip()]
    findings = [_finding(part, setting) for part in written if not _base_url(part)]
    if findings or not written:
        raise InputError(findings or _finding(text, setting))
    return list(dict.fromkeys(_base_url(part) for part in written))


def proxy_for(url: str) -> str | None:
    """The proxy that the environment names for a URL, as ``https_proxy`` does; none for this machine."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    here = host in ("localhost", "::1") or host.startswith("127.")
    return None if here or proxy_bypass(host) else getproxies().get(parts.scheme)


def _base_url(written: str) -> str:
    """The base URL of one endpoint; empty if the text is no address."""
    try:
        parts = urlsplit(written if "://" in written else f"http://{written}")
        valid = (
            parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and not re.search(r"\s", written)
        )
    except ValueError:
        return ""
    if not valid or parts.query or parts.fragment or "@" in parts.netloc:
        return ""
    path = _CALLS.sub("", parts.path.rstrip("/")).rstrip("/")
    return urlunsplit((parts.scheme, parts.netloc, path or "/v1", "", ""))


def _finding(written: str, setting: str) -> Finding:
    return Finding(
        "endpoint-url",
        f"{written!r} is not the address of an endpoint",
        setting,
        hint="write HOST:PORT, http://HOST:PORT/v1 or https://HOST/v1; separate several with commas",
    )
