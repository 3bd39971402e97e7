"""HTTP metrics: what is counted, once, and under which labels."""

import json
import logging
from collections.abc import Iterator

import pytest
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import Client, RequestFactory

from observability.telemetry.logs.formatting import Formatter
from observability.telemetry.metrics import requests
from observability.telemetry.middleware import MetricsMiddleware
from observability.tests.samples import Change, count_series, sample

pytestmark = [pytest.mark.urls("observability.tests.sample_urls"), pytest.mark.django_db]

DURATIONS = "http_request_duration_seconds_count"


@pytest.fixture
def client() -> Client:
    return Client(raise_request_exception=False)


def test_a_request_is_counted_by_method_route_template_and_status(client: Client) -> None:
    in_progress = Change("http_requests_in_progress")
    answered = Change("http_requests_total", method="GET", endpoint="/fine", status="200")
    observed = Change(DURATIONS, method="GET", endpoint="/fine")
    client.get("/fine")
    assert (answered(), observed()) == (1, 1)
    assert in_progress() == 0


def test_endpoint_is_the_template_and_never_the_path(client: Client) -> None:
    answered = Change(
        "http_requests_total", method="GET", endpoint="/pattern/(?P<name>[a-z]+)$", status="200"
    )
    client.get("/pattern/abc")
    client.get("/pattern/xyz")
    assert answered() == 2


def test_a_view_that_raises_is_observed_once(client: Client) -> None:
    in_progress = Change("http_requests_in_progress")
    answered = Change("http_requests_total", method="GET", endpoint="/broken", status="500")
    observed = Change(DURATIONS, method="GET", endpoint="/broken")
    failed = Change("errors_total", error_type="BrokenViewError", endpoint="/broken")
    assert client.get("/broken").status_code == 500
    assert (answered(), observed(), failed()) == (1, 1, 1)
    assert in_progress() == 0


def test_an_exception_that_passes_the_middleware_is_observed_once_and_passed_on() -> None:
    in_progress = Change("http_requests_in_progress")

    def get_response(_request: HttpRequest) -> HttpResponse:
        raise SystemExit

    answered = Change("http_requests_total", method="GET", endpoint="unmatched", status="500")
    with pytest.raises(SystemExit):
        MetricsMiddleware(get_response)(RequestFactory().get("/"))
    assert answered() == 1
    assert in_progress() == 0


def test_a_hundred_odd_methods_make_one_set_of_series(client: Client) -> None:
    client.generic("ODD", "/fine")
    series = count_series()
    cached = len(requests.requests_by_label)
    counted = Change("http_requests_total", method="OTHER", endpoint="/fine", status="200")
    for number in range(100):
        client.generic(f"ODD{number}", "/fine")
    assert counted() == 100
    assert count_series() == series
    assert len(requests.requests_by_label) == cached


def test_a_hundred_unknown_paths_and_hosts_make_one_set_of_series(client: Client) -> None:
    client.get("/unknown")
    client.get("/fine", headers={"host": "unknown.example"})
    series = count_series()
    for number in range(100):
        client.get(f"/unknown/{number}")
        client.get("/fine", headers={"host": f"unknown-{number}.example"})
    assert count_series() == series


def test_a_garbage_content_length_is_no_error_of_the_metrics(client: Client) -> None:
    assert client.get("/fine", CONTENT_LENGTH="garbage").status_code == 200


class FakeClock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_streamed_body_is_timed_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    in_progress = Change("http_requests_in_progress")
    fake_clock = FakeClock()
    monkeypatch.setattr("observability.telemetry.middleware.perf_counter", fake_clock)

    def body() -> Iterator[bytes]:
        yield b"slow"
        fake_clock.now += 0.3

    labels = {"method": "GET", "endpoint": "unmatched"}
    count, total = Change(DURATIONS, **labels), Change("http_request_duration_seconds_sum", **labels)
    response = MetricsMiddleware(lambda _request: StreamingHttpResponse(body()))(RequestFactory().get("/"))
    assert count() == 0
    assert in_progress() == 1
    assert b"".join(response) == b"slow"
    response.close()
    assert count() == 1
    assert total() == pytest.approx(0.3)
    assert in_progress() == 0


def test_a_client_that_leaves_a_streamed_body_is_observed_once(client: Client) -> None:
    in_progress = Change("http_requests_in_progress")
    observed = Change(DURATIONS, method="GET", endpoint="/streamed")
    response = client.get("/streamed")
    response.close()
    response.close()
    assert observed() == 1
    assert in_progress() == 0


@pytest.mark.parametrize(
    ("path", "status"), [("/things/7", 404), ("/unknown", 404), ("/forbidden", 403), ("/unavailable", 503)]
)
def test_a_refusal_is_an_answer_and_not_an_exception(client: Client, path: str, status: int) -> None:
    errors = count_errors()
    assert client.get(path).status_code == status
    assert count_errors() == errors


def count_errors() -> float:
    (metric,) = requests.errors_total.collect()
    return sum(one.value for one in metric.samples)


def test_the_gauge_counts_a_request_while_it_is_answered() -> None:
    in_progress = Change("http_requests_in_progress")
    seen: list[float] = []

    def get_response(_request: HttpRequest) -> HttpResponse:
        seen.append(in_progress())
        return HttpResponse()

    MetricsMiddleware(get_response)(RequestFactory().get("/"))
    assert seen == [1]
    assert in_progress() == 0


def test_error_types_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "error_types", {f"Type{number}" for number in range(100)})
    made_at_run_time = type("MadeAtRunTime", (Exception,), {})
    other = Change("errors_total", error_type="other", endpoint="/fine")
    requests.record_error(made_at_run_time(), "fine")
    assert other() == 1
    assert sample("errors_total", error_type="MadeAtRunTime", endpoint="/fine") == 0


def test_most_answers_fall_between_buckets_below_ten_milliseconds() -> None:
    assert [bound for bound in requests.REQUEST_BUCKETS if bound < 0.01] == [0.001, 0.0025, 0.005]


# --- Request id and access line ---


def test_a_well_formed_request_id_is_taken_and_echoed(client: Client) -> None:
    response = client.get("/whose", headers={"x-request-id": "order-42.A_b"})
    assert response["X-Request-ID"] == "order-42.A_b"
    assert response.content == b"order-42.A_b"


@pytest.mark.parametrize(
    "offered", ["short", "a" * 65, "with space", "new\nline-id", "täglich-1", "12345678\n", ""]
)
def test_a_malformed_request_id_is_replaced(client: Client, offered: str) -> None:
    response = client.get("/whose", HTTP_X_REQUEST_ID=offered)
    identifier = response["X-Request-ID"]
    assert len(identifier) == 32
    assert identifier != offered
    assert response.content.decode() == identifier


def test_each_request_is_one_access_line_without_its_query(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "amani.access"):
        client.get("/things/7?token=secret", headers={"x-request-id": "request-0001"})
    (record,) = [record for record in caplog.records if record.name == "amani.access"]
    fields = record.fields  # type: ignore[attr-defined]
    assert fields.items() <= json.loads(Formatter("json").format(record)).items()
    assert fields.pop("duration_ms") >= 0
    assert fields == {
        "method": "GET",
        "path": "/things/7",
        "endpoint": "/things/<int:number>",
        "status": 404,
        "request_id": "request-0001",
        "remote_address": "127.0.0.1",
    }
    assert "secret" not in json.dumps(fields)


def test_the_request_id_is_forgotten_when_the_response_is_closed(client: Client) -> None:
    from core.request_id import current_request_id

    client.get("/whose", headers={"x-request-id": "request-0001"})
    assert current_request_id() == ""
