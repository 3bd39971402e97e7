"""OpenTelemetry's Django instrumentation, set up so that a middleware of ours chooses its requests."""

import os
from typing import Any

from django.conf import settings
from django.core.exceptions import MiddlewareNotUsed
from opentelemetry.instrumentation.django import DjangoInstrumentor
from opentelemetry.instrumentation.django.environment_variables import OTEL_PYTHON_DJANGO_INSTRUMENT

# Private, because the package knows no way to instrument some requests and not others.
from opentelemetry.instrumentation.django.middleware.otel_middleware import (
    _DjangoMiddleware as DjangoMiddleware,
)
from opentelemetry.sdk.trace import Span

from observability.telemetry.middleware import GetResponse
from observability.telemetry.request import telemetry_of
from observability.telemetry.traces.conventions import use_stable_names
from observability.telemetry.traces.instrumented_request import InstrumentedRequest

IN_SETTINGS = f"{DjangoMiddleware.__module__}.{DjangoMiddleware.__qualname__}"


def make_instrumentation(get_response: GetResponse) -> Any:
    """Return the package's own middleware.

    The package adds it to MIDDLEWARE, around every request. It is taken out again.
    Raises MiddlewareNotUsed when the operator has switched the package off.
    """
    if os.environ.get(OTEL_PYTHON_DJANGO_INSTRUMENT) == "False":
        raise MiddlewareNotUsed
    use_stable_names()
    instrumentor = DjangoInstrumentor()  # there is one in a process
    if not instrumentor.is_instrumented_by_opentelemetry:
        instrumentor.instrument(response_hook=complete_span, skip_dep_check=True)
        settings.MIDDLEWARE.remove(IN_SETTINGS)
    return DjangoMiddleware(get_response)  # type: ignore[no-untyped-call]  # the package has no types here


def complete_span(span: Span, instrumented: InstrumentedRequest, _response: object) -> None:
    """Add what the instrumentation does not say: the route, the user, and which exception a 500 comes from.

    Its own route would have no slash at the beginning. Metrics, log lines and links have one, so the span
    gets it too.
    """
    request = instrumented.request
    match = request.resolver_match
    if match is not None:
        path = f"/{match.route.removeprefix('^')}"
        span.set_attribute("http.route", path)
        span.update_name(f"{span.name} {path}")
    telemetry = telemetry_of(request)
    if telemetry.exception is not None:
        span.set_attribute("error.type", type(telemetry.exception).__qualname__)
    if telemetry.user is not None:
        span.set_attribute("user.id", str(telemetry.user.pk))
