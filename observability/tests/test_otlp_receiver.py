"""The tests' own OTLP receiver, asked by the exporters that Amani uses."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import requests
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import Link, SpanKind, Status, StatusCode, set_span_in_context

from observability.tests.otlp import OtlpReceiver
from observability.tests.waiting import ANSWER_SECONDS, PATIENCE_SECONDS, wait_until

EXPORTERS = ("http", "http-gzip", "grpc")


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as running:
        yield running


def exporter(name: str, receiver: OtlpReceiver, timeout: float = ANSWER_SECONDS) -> SpanExporter:
    headers = {"api-key": "key-of-the-test"}
    if name == "grpc":
        return GrpcExporter(receiver.grpc_url, insecure=True, headers=headers, timeout=timeout)
    compression = Compression.Gzip if name == "http-gzip" else Compression.NoCompression
    return HttpExporter(receiver.traces_url, headers=headers, timeout=timeout, compression=compression)


def made_spans() -> tuple[ReadableSpan, ReadableSpan]:
    """A request's span and its query's."""
    tracer = TracerProvider(resource=Resource({"service.name": "sample"})).get_tracer("scope.of.test")
    earlier = tracer.start_span("earlier")
    links = [Link(earlier.get_span_context(), {"why": "retry"})]
    parent = tracer.start_span("GET /escrows", kind=SpanKind.SERVER, links=links, start_time=1_000_000_000)
    child = tracer.start_span("SELECT", context=set_span_in_context(parent), kind=SpanKind.CLIENT)
    child.end()
    parent.set_attributes({"text": "ü", "whole": 7, "part": 0.5, "true": True, "several": ["a", "b"]})
    parent.add_event("exception", {"exception.type": "ValueError"}, timestamp=1_200_000_000)
    parent.set_status(Status(StatusCode.ERROR, "It failed."))
    parent.end(end_time=1_500_000_000)
    assert isinstance(parent, ReadableSpan)
    assert isinstance(child, ReadableSpan)
    return parent, child


@pytest.mark.parametrize("name", EXPORTERS)
def test_a_span_arrives_whole(name: str, receiver: OtlpReceiver) -> None:
    parent, child = made_spans()
    sending = exporter(name, receiver)
    assert sending.export([parent, child]) is SpanExportResult.SUCCESS
    sending.shutdown()

    request = receiver.wait_for_span("GET /escrows")
    query = receiver.wait_for_span("SELECT")
    context = parent.get_span_context()
    assert context is not None
    assert (request.trace_id, request.span_id) == (f"{context.trace_id:032x}", f"{context.span_id:016x}")
    assert (request.kind, request.parent_id, request.scope) == ("SERVER", "", "scope.of.test")
    assert request.attributes == {"text": "ü", "whole": 7, "part": 0.5, "true": True, "several": ["a", "b"]}
    assert (request.status, request.status_message) == ("ERROR", "It failed.")
    assert request.seconds == 0.5
    assert [(event.name, event.at, event.attributes) for event in request.events] == [
        ("exception", 1_200_000_000, {"exception.type": "ValueError"})
    ]
    assert [link.attributes for link in request.links] == [{"why": "retry"}]
    assert request.links[0].trace_id == f"{parent.links[0].context.trace_id:032x}"
    assert request.resource["service.name"] == "sample"
    assert (query.kind, query.status, query.parent_id) == ("CLIENT", "UNSET", request.span_id)
    assert query.trace_id == request.trace_id


@pytest.mark.parametrize("name", EXPORTERS)
def test_what_was_sent_can_be_searched_with_its_headers(name: str, receiver: OtlpReceiver) -> None:
    sending = exporter(name, receiver)
    sending.export([made_spans()[0]])
    sending.shutdown()

    (call,) = receiver.requests()
    assert call.protocol == name.split("-")[0]
    assert call.headers["api-key"] == "key-of-the-test"
    assert b"It failed." in call.raw
    assert b"GET /escrows" in receiver.everything()
    assert b"key-of-the-test" in receiver.everything()


@pytest.mark.parametrize("name", EXPORTERS)
def test_a_receiver_that_refuses_takes_no_span_but_keeps_what_was_sent(
    name: str, receiver: OtlpReceiver
) -> None:
    receiver.mode = "refuse"
    sending = exporter(name, receiver, timeout=2)
    assert sending.export([made_spans()[0]]) is SpanExportResult.FAILURE
    sending.shutdown()

    assert receiver.spans() == []
    assert receiver.count("refuse") >= 1
    assert receiver.count("ok") == 0
    assert b"GET /escrows" in receiver.everything()


@pytest.mark.parametrize("name", ["http", "grpc"])
def test_a_receiver_that_hangs_is_given_up_by_the_exporter(name: str, receiver: OtlpReceiver) -> None:
    receiver.mode = "hang"
    sending = exporter(name, receiver, timeout=2)
    assert sending.export([made_spans()[0]]) is SpanExportResult.FAILURE
    assert receiver.count("hang") >= 1
    sending.shutdown()

    receiver.mode = "ok"
    sending = exporter(name, receiver)
    assert sending.export([made_spans()[1]]) is SpanExportResult.SUCCESS
    sending.shutdown()
    assert [span.name for span in receiver.spans()] == ["SELECT"]


def test_a_held_call_is_refused_as_soon_as_the_mode_changes(receiver: OtlpReceiver) -> None:
    receiver.mode = "hang"
    statuses: list[int] = []
    asking = threading.Thread(
        target=lambda: statuses.append(
            requests.post(receiver.traces_url, data=b"", timeout=ANSWER_SECONDS).status_code
        )
    )
    asking.start()
    assert wait_until(lambda: receiver.count("hang") == 1)
    assert statuses == []
    receiver.mode = "ok"
    asking.join(PATIENCE_SECONDS)
    assert statuses == [503]


def test_what_is_no_otlp_is_refused_and_counted(receiver: OtlpReceiver) -> None:
    assert requests.post(receiver.traces_url, data=b"\xff\xff", timeout=ANSWER_SECONDS).status_code == 400
    gzipped = {"Content-Encoding": "gzip"}
    assert (
        requests.post(
            receiver.traces_url, data=b"no gzip", headers=gzipped, timeout=ANSWER_SECONDS
        ).status_code
        == 400
    )
    assert requests.post(receiver.http_url, data=b"", timeout=ANSWER_SECONDS).status_code == 404
    assert receiver.malformed == 1
    assert receiver.spans() == []


def test_a_span_that_does_not_come_is_told_with_those_that_came(receiver: OtlpReceiver) -> None:
    sending = exporter("http", receiver)
    sending.export([made_spans()[1]])
    sending.shutdown()
    with pytest.raises(AssertionError, match=r"These spans came within 0\.1 s: \['SELECT'\]"):
        receiver.wait_for_span("another", seconds=0.1)


def test_forgetting_leaves_nothing(receiver: OtlpReceiver) -> None:
    receiver.mode = "refuse"
    requests.post(receiver.traces_url, data=b"", timeout=ANSWER_SECONDS)
    receiver.forget()
    assert (receiver.requests(), receiver.spans(), receiver.mode) == ([], [], "ok")
