"""What OpenTelemetry's Django instrumentation sees of a request and its answer: what attributes are made of.

It would read every header, in case one is to be captured, and resolve the path, which Django does as well.
"""

import os
from collections.abc import Iterable
from typing import Any

from django.http import HttpRequest
from django.urls import ResolverMatch
from opentelemetry.util.http import (
    OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST,
    OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_RESPONSE,
)

# Keys of META that attributes are made of. The query is not among them, because it may hold secrets.
READ = (
    *("REQUEST_METHOD", "SERVER_PROTOCOL", "wsgi.url_scheme", "PATH_INFO"),
    *("SERVER_NAME", "SERVER_PORT", "REMOTE_ADDR", "REMOTE_PORT", "REMOTE_HOST"),
    *("HTTP_HOST", "HTTP_USER_AGENT"),
)
# It names the span by method and route. The route is not known yet; `complete_span` adds it.
NO_ROUTE = ResolverMatch(lambda: None, (), {})


def captures_headers() -> bool:
    """Return whether the operator wants attributes made of headers."""
    return any(
        os.environ.get(name)
        for name in (
            OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST,
            OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_RESPONSE,
        )
    )


class InstrumentedRequest:
    """What the instrumentation sees of `request`.

    It is given a URL that Django would refuse to build: webhook and probes are answered under any host.
    """

    def __init__(self, request: HttpRequest, seen: Iterable[str]) -> None:
        """`seen` are the keys of `request.META` that it sees."""
        self.request = request
        self.method = request.method
        self.resolver_match = NO_ROUTE
        meta = request.META
        self.META = {name: meta[name] for name in seen if name in meta}
        # From RAW_URI the instrumentation takes that there is a path, and not every server sets it.
        self.META["RAW_URI"], self.META["QUERY_STRING"] = request.path, ""
        host = meta.get("HTTP_HOST") or meta.get("SERVER_NAME", "")
        self.url = f"{request.scheme}://{host}{request.path}"

    def __getattr__(self, name: str) -> Any:
        return getattr(self.request, name)

    def build_absolute_uri(self, _location: str = "") -> str:
        """Return the URL that OTEL_PYTHON_DJANGO_EXCLUDED_URLS is compared with."""
        return self.url


class InstrumentedResponse:
    """What the instrumentation sees of an answer: its status."""

    reason_phrase = ""

    def __init__(self, status_code: int) -> None:
        self.status_code = status_code

    def items(self) -> tuple[tuple[str, str], ...]:
        """Return no header."""
        return ()
