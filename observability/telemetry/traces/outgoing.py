"""Gives calls made with `requests` a span, a `traceparent`, and the id of the request that caused them."""

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Span
from requests import PreparedRequest

from core.request_id import current_request_id
from observability.telemetry.traces.conventions import use_stable_names


def instrument(provider: TracerProvider) -> None:
    """Instrument `requests` by OpenTelemetry's own package, once in a process. It is imported only here: that
    takes 0.2 s of processor time, which a process without tracing need not spend."""
    from opentelemetry.instrumentation.requests import RequestsInstrumentor

    use_stable_names()
    instrumentor = RequestsInstrumentor()
    if not instrumentor.is_instrumented_by_opentelemetry:
        instrumentor.instrument(tracer_provider=provider, skip_dep_check=True, request_hook=name_request)


def name_request(span: Span, request: PreparedRequest) -> None:
    """Add the request id to an outgoing call and to its span."""
    identifier = current_request_id()
    if identifier:
        request.headers.setdefault("X-Request-ID", identifier)
        span.set_attribute("amani.request_id", identifier)
