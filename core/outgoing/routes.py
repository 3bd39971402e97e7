"""The connections to each host, kept for the next request, with the environment's proxy and certificates.

`requests` finds those, once for each host; urllib3 then sends. What a `requests.Session` does for each
request (cookies, ~/.netrc, the environment) is not used here, and took as long as the request itself.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from typing import cast

import requests
from urllib3 import HTTPConnectionPool
from urllib3.util import Url

from core.outgoing.connection import GuardedAdapter

CONNECTIONS_KEPT = 2

_local = threading.local()


@dataclass(frozen=True, slots=True)
class Route:
    """The connections to one host, perhaps through a proxy."""

    adapter: GuardedAdapter
    pool: HTTPConnectionPool
    takes_whole_url: bool  # a proxy for plain HTTP

    def target_of(self, address: Url) -> str:
        """Returns how the request line names `address`."""
        return address._replace(auth=None, fragment=None).url if self.takes_whole_url else address.request_uri

    def close(self) -> None:
        self.adapter.close()


def route_to(address: Url) -> Route:
    """Returns this thread's route; a new one after a fork, so that processes never share a connection.

    Raises RequestException or HTTPError for an address that cannot be used.
    """
    if getattr(_local, "process_id", None) != os.getpid():
        _local.routes, _local.process_id = {}, os.getpid()
    routes: dict[tuple[str | None, str | None], Route] = _local.routes
    host = (address.scheme, address.netloc)
    if host not in routes:
        routes[host] = _new_route(address)
    return routes[host]


def forget_routes() -> None:
    """Closes this thread's connections; the next request looks at the environment anew."""
    for route in getattr(_local, "routes", {}).values():
        route.close()
    _local.__dict__.clear()


def _new_route(address: Url) -> Route:
    prepared = requests.Request("POST", address.url).prepare()
    with requests.Session() as session:
        found = session.merge_environment_settings(prepared.url, {}, stream=True, verify=None, cert=None)
    adapter = GuardedAdapter(pool_connections=1, pool_maxsize=CONNECTIONS_KEPT)
    pool = adapter.get_connection_with_tls_context(
        prepared, found["verify"], proxies=found["proxies"], cert=found["cert"]
    )
    # A public method without types, which gives `pool` the certificates.
    adapter.cert_verify(pool, prepared.url, found["verify"], found["cert"])  # type: ignore[no-untyped-call]
    takes_whole_url = not adapter.request_url(prepared, found["proxies"]).startswith("/")
    return Route(adapter, cast("HTTPConnectionPool", pool), takes_whole_url)
