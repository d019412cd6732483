"""What a client is told: whom to ask, for which model, and how hard. Plain data."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Asked", "EndpointSettings"]


@dataclass(frozen=True, slots=True)
class Asked:
    """Dotted paths of the settings that a user may have to change, for findings and failures."""

    address: str
    key: str
    model: str
    timeout: str


@dataclass(frozen=True, slots=True)
class EndpointSettings:
    """Settings of a client.

    Attributes:
        address: endpoint, or several with commas between them.
        settings: where a user sets address, key, model and timeout.
        model: name of the model to ask; empty for the one that the endpoint serves.
        key: the key; empty if there is none.
        max_concurrency: most calls at once.
        max_retries: times that a failed call is sent again.
        request_timeout: seconds after which a call counts as failed.
    """

    address: str
    settings: Asked
    model: str = ""
    key: str = field(default="", repr=False)
    max_concurrency: int = 64
    max_retries: int = 5
    request_timeout: float = 120.0
