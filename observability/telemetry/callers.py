"""Says whether a request comes from a network, and directly."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any

# A proxy on this machine would make every caller local.
FORWARDING_HEADERS = (
    "HTTP_FORWARDED",
    "HTTP_VIA",
    "HTTP_X_REAL_IP",
    "HTTP_X_CLIENT_IP",
    "HTTP_TRUE_CLIENT_IP",
    "HTTP_CF_CONNECTING_IP",
    "HTTP_CLIENT_IP",
)
FORWARDING_PREFIX = "HTTP_X_FORWARDED"


def is_direct_from(networks: Iterable[IPv4Network | IPv6Network], environ: Mapping[str, Any]) -> bool:
    """Returns whether the peer is in one of `networks` and calls for itself.

    A request that a proxy forwarded has the proxy's address, so it is never from the network of its caller.
    """
    if any(header in environ for header in FORWARDING_HEADERS):
        return False
    if any(name.startswith(FORWARDING_PREFIX) for name in environ):
        return False
    try:
        address = ip_address(environ.get("REMOTE_ADDR", ""))
    except ValueError:  # a Unix socket has no address
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return any(address in network for network in networks)
