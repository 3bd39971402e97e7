"""What OpenTelemetry's Django instrumentation sees of a request."""

from collections.abc import Iterable
from typing import Any

from django.http import HttpRequest


class InstrumentedRequest:
    """What the instrumentation sees of `request`: without its query, which may hold secrets, and without the
    headers in `hidden`.

    It is given a URL that Django would refuse to build: webhook and probes are answered under any host.
    """

    def __init__(self, request: HttpRequest, hidden: Iterable[str]) -> None:
        """`hidden` are keys of `request.META`."""
        self.request = request
        # From RAW_URI the instrumentation takes that there is a path, and not every server sets it.
        self.META = {**request.META, "QUERY_STRING": "", "RAW_URI": request.path}
        for name in hidden:
            self.META.pop(name, None)
        host = request.META.get("HTTP_HOST") or request.META.get("SERVER_NAME", "")
        self.url = f"{request.scheme}://{host}{request.path}"

    def __getattr__(self, name: str) -> Any:
        return getattr(self.request, name)

    def build_absolute_uri(self, _location: str = "") -> str:
        """Return the URL that OTEL_PYTHON_DJANGO_EXCLUDED_URLS is compared with."""
        return self.url
