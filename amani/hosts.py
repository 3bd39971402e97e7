"""Which requests must name an allowed host, and how a refused host is answered.

Alertmanager, Prometheus and the probes of an orchestrator call Amani by whatever name they have for it: a
service's (`amani_web:8000`, which Django takes for malformed) or a pod's address. Their routes make no use of
the host, so it is not asked for there.
"""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.http.request import split_domain_port
from django.middleware.common import CommonMiddleware

from core.errors import AmaniError

# `/metrics` and the ping come this far only under Django's own server; gunicorn's requests end at edge.py.
FOR_ANY_HOST = frozenset(
    {
        "/api/v1/alerts/webhook",
        "/api/v1/alerts/webhook/",
        "/api/v1/health",
        "/api/v1/readiness",
        "/api/v1/ping",
        "/metrics",
    }
)
LONGEST_HOST = 100


class HostMiddleware(CommonMiddleware):
    """Django's CommonMiddleware, which refuses a host that ALLOWED_HOSTS has not, but not on those routes."""

    def process_request(self, request: HttpRequest) -> Any:
        return None if request.path_info in FOR_ANY_HOST else super().process_request(request)


class HostRefused(AmaniError):
    """Names the host as far as it can be shown, and the setting."""

    code = "host_refused"

    def __init__(self, host: str) -> None:
        if not host:
            message = "The request names no host. Send the header Host with a name in ALLOWED_HOSTS."
        elif is_well_formed(host):
            message = (
                f"The host {shown(host)} is not in ALLOWED_HOSTS. "
                "Use a name that is, or add this one to the setting ALLOWED_HOSTS."
            )
        else:
            message = (
                f"The host {shown(host)} is malformed: a name has letters, digits, hyphens and dots only. "
                "Use a name in the setting ALLOWED_HOSTS."
            )
        super().__init__(message)


def is_well_formed(host: str) -> bool:
    return bool(split_domain_port(host)[0])


def shown(host: str) -> str:
    """The host in quotes, without what is no visible ASCII, cut to LONGEST_HOST characters."""
    cleaned = "".join(character if "!" <= character <= "~" else "?" for character in host)
    return f"“{cleaned[:LONGEST_HOST]}…”" if len(cleaned) > LONGEST_HOST else f"“{cleaned}”"
