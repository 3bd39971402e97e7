"""Which exporter, to which address, and nothing secret in what it sends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import StatusCode

from core.scrubbing import HIDDEN, learn
from observability.telemetry.traces import exporting
from observability.telemetry.traces.exporting import make_exporter, protocol_for
from observability.telemetry.traces.scrubbing import ScrubbingExporter
from observability.tests.otlp import OtlpReceiver
from observability.tests.recorded import KeptSpans


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as running:
        yield running


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ENDPOINT", "PROTOCOL", "HEADERS", "TIMEOUT"):
        monkeypatch.delenv(f"OTEL_EXPORTER_OTLP_{name}", raising=False)
        monkeypatch.delenv(f"OTEL_EXPORTER_OTLP_TRACES_{name}", raising=False)


def export_one() -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    exporter = make_exporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    provider.get_tracer("test").start_span("one").end()
    exporter.shutdown()


@pytest.mark.parametrize(
    ("protocol", "address", "expected"),
    [
        ("", "http_url", "http"),
        ("http/protobuf", "traces_url", "http"),
        ("grpc", "grpc_url", "grpc"),
    ],
)
def test_spans_arrive_with_the_headers_over_either_protocol(
    receiver: OtlpReceiver, settings: Any, protocol: str, address: str, expected: str
) -> None:
    settings.TRACING_EXPORTER = "otlp"
    settings.OTLP_ENDPOINT = getattr(receiver, address)
    settings.OTLP_PROTOCOL = protocol
    settings.OTLP_HEADERS = "api-key=one two,x-team=payments"
    export_one()
    assert [span.name for span in receiver.spans()] == ["one"]
    call = receiver.requests()[0]
    assert call.protocol == expected
    assert (call.headers["api-key"], call.headers["x-team"]) == ("one two", "payments")


@pytest.mark.parametrize(
    ("endpoint", "protocol"),
    [
        ("https://collector.example.com:4317", "grpc"),
        ("collector:4317", "grpc"),
        ("https://collector.example.com:4318", "http/protobuf"),
        ("https://api.example.com", "http/protobuf"),
        ("", "http/protobuf"),
    ],
)
def test_the_port_tells_the_protocol(settings: Any, endpoint: str, protocol: str) -> None:
    settings.OTLP_PROTOCOL = ""
    assert protocol_for(endpoint) == protocol


def test_opentelemetrys_own_variables_count_where_ours_are_not_set(
    receiver: OtlpReceiver, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.TRACING_EXPORTER, settings.OTLP_ENDPOINT, settings.OTLP_PROTOCOL = "otlp", "", ""
    settings.OTLP_HEADERS = ""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.http_url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=theirs")
    export_one()
    assert receiver.requests()[0].headers["api-key"] == "theirs"
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc")
    assert protocol_for("") == "grpc"


def test_without_an_endpoint_spans_go_to_the_jaeger_of_this_machine(
    receiver: OtlpReceiver, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.TRACING_EXPORTER, settings.OTLP_ENDPOINT, settings.OTLP_PROTOCOL = "jaeger", "", ""
    assert exporting.JAEGER == "http://localhost:4318"
    monkeypatch.setattr(exporting, "JAEGER", receiver.http_url)
    export_one()
    assert [span.name for span in receiver.spans()] == ["one"]


def test_the_console_exporter_prints_spans(settings: Any, capsys: pytest.CaptureFixture[str]) -> None:
    settings.TRACING_EXPORTER = "console"
    export_one()
    assert '"name": "one"' in capsys.readouterr().out


def test_nothing_secret_is_left_in_a_span() -> None:
    kept = KeptSpans()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(ScrubbingExporter(kept)))
    secret = "4111 1111 1111 1111"
    with provider.get_tracer("test").start_as_current_span(
        f"pay with {secret}", attributes={"note": f"card {secret}", "password": "hunter2hunter2", "count": 3}
    ) as span:
        span.add_event(f"seen {secret}", {"text": secret})
        span.record_exception(ValueError(f"refused {secret}"))
        span.set_status(StatusCode.ERROR, f"refused {secret}")
    sent = kept.spans[0]
    assert sent.attributes is not None
    assert sent.attributes["count"] == 3
    text = sent.to_json()
    assert secret not in text
    assert "hunter2" not in text
    assert [event.name for event in sent.events][1] == "exception"
    assert sent.context == span.get_span_context()


def test_a_secret_that_is_learned_later_is_hidden_in_values_that_were_seen_before() -> None:
    kept = KeptSpans()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(ScrubbingExporter(kept)))
    tracer = provider.get_tracer("test")
    secret = "learned_in_test_exporting"
    for expected in (secret, HIDDEN):
        tracer.start_span(f"use {secret}", attributes={"note": f"it is {secret}"}).end()
        assert kept.spans[-1].name == f"use {expected}"
        assert (kept.spans[-1].attributes or {})["note"] == f"it is {expected}"
        learn([secret])
