"""The one private name of OpenTelemetry's packages that Amani uses is where it was, and works as it did."""

from __future__ import annotations

import pytest
from opentelemetry.instrumentation.django.middleware import otel_middleware

ADVICE = "The package has changed: adapt observability/telemetry/traces/instrumentation.py."


def test_the_middleware_class_has_its_name() -> None:
    assert hasattr(otel_middleware, "_DjangoMiddleware"), ADVICE


@pytest.mark.parametrize("step", ["process_request", "process_exception", "process_response"])
def test_the_middleware_class_has_each_step(step: str) -> None:
    assert callable(getattr(otel_middleware._DjangoMiddleware, step, None)), ADVICE
