"""Which of several hosts in DATABASE_URL a health check asks first.

A host that does not answer at all costs two seconds before the next one is asked, and health has one. So the
host that served the last check is asked first, in each process; only the first check after it went away is
late.
"""

from collections.abc import Mapping
from typing import Any

from psycopg import Connection


class Hosts:
    def __init__(self) -> None:
        self.served: tuple[str, str] | None = None

    def remember(self, connection: Connection[Any]) -> None:
        self.served = connection.info.host, str(connection.info.port)

    def in_order(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """`parameters` for psycopg.connect, the host that served the last check in front."""
        hosts = str(parameters.get("host", "")).split(",")
        ports = str(parameters.get("port", "")).split(",")
        if len(hosts) == 1 or "hostaddr" in parameters:
            return dict(parameters)
        pairs = list(zip(hosts, ports if len(ports) > 1 else ports * len(hosts), strict=True))
        pairs.sort(key=self.did_not_serve)
        return {
            **parameters,
            "host": ",".join(host for host, _ in pairs),
            "port": ",".join(port for _, port in pairs),
        }

    def did_not_serve(self, pair: tuple[str, str]) -> bool:
        host, port = pair
        return self.served is None or host != self.served[0] or port not in {"", self.served[1]}
