"""How the other machines of a training reach this one: by the address that it has towards the place where they meet.

By themselves, torchrun and gloo ask what the name of this machine stands for. On many that is a loopback address, which
leads the others nowhere, and then no machine knows that it is the one where they meet.
"""

from __future__ import annotations

import ipaddress
import socket
from contextlib import suppress

from ilab_profiles.models.engines import Torchrun

__all__ = ["variables"]


def variables(torchrun: Torchrun) -> dict[str, str]:
    """Variables that tell torchrun and gloo; none where the place is on this machine alone, or is not found."""
    try:
        place, own = _addresses(torchrun)
    except OSError:  # the name may not be known yet: torchrun tries again, and tells
        return {}
    if ipaddress.ip_address(own.partition("%")[0]).is_loopback:
        return {}
    found = {"PET_LOCAL_ADDR": own}
    if torchrun.rdzv_endpoint:
        found["PET_RDZV_CONF"] = f"is_host={str(place == own).lower()}"
    if interface := _interface(own):
        found["GLOO_SOCKET_IFNAME"] = interface
    return found


def _addresses(torchrun: Torchrun) -> tuple[str, str]:
    """The address of the place where the machines meet, and that of this machine towards it. Sends nothing there."""
    host = torchrun.master_addr or (torchrun.rdzv_endpoint or "").rpartition(":")[0].strip("[]")
    family, kind, _, _, place = socket.getaddrinfo(host, 1, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind) as probe:
        probe.connect(place)  # of a datagram socket: only chooses the way
        return str(place[0]), str(probe.getsockname()[0])


def _interface(address: str) -> str:
    """Name of the network interface that has an address; empty if that cannot be told."""
    with suppress(ImportError, OSError):
        import psutil

        for name, given in psutil.net_if_addrs().items():
            if any(item.address == address for item in given):
                return str(name)
    return ""
