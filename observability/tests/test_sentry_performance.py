"""What Sentry's timings say, and what Sentry costs a healthy request: nothing, or one random number."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from django.core.exceptions import MiddlewareNotUsed
from django.http import HttpResponse
from django.test import Client
from opentelemetry.sdk.trace import TracerProvider

from observability import sentry
from observability.telemetry.errors.performance import SentryTransactionMiddleware
from observability.telemetry.errors.trail import trail
from observability.tests.fake_sentry import FakeSentry
from observability.tests.sample_celery import fail, touch
from observability.tests.test_metrics_cost import calls_per_request
from observability.tests.waiting import PATIENCE_SECONDS

pytestmark = [pytest.mark.urls("observability.tests.sample_urls"), pytest.mark.django_db]

IDENTIFIER = "request-0123456789"
REQUEST_LOG = "observability.telemetry.middleware.RequestLogMiddleware"
TRANSACTIONS = "observability.telemetry.errors.performance.SentryTransactionMiddleware"
tracer = TracerProvider(shutdown_on_exit=False).get_tracer(__name__)


@pytest.fixture
def on(sentry_server: FakeSentry, settings: Any) -> Iterator[FakeSentry]:
    """Everything is timed."""
    trail.forget()
    settings.SENTRY_DSN = sentry_server.dsn
    settings.SENTRY_TRACES_SAMPLE_RATE = 1.0
    settings.MIDDLEWARE = [REQUEST_LOG, TRANSACTIONS]
    sentry.start("web")
    yield sentry_server
    sentry.stop(PATIENCE_SECONDS)


def the_transaction(sentry_server: FakeSentry) -> dict[str, Any]:
    sentry.stop(PATIENCE_SECONDS)
    (transaction,) = sentry_server.of("transaction")
    return transaction


@pytest.fixture
def browser() -> Client:
    return Client(raise_request_exception=False, headers={"X-Request-ID": IDENTIFIER})


def test_a_request_is_a_transaction_with_its_route_status_and_queries(
    on: FakeSentry, browser: Client
) -> None:
    browser.get("/query")
    transaction = the_transaction(on)
    assert (transaction["transaction"], transaction["transaction_info"]) == (
        "GET /query",
        {"source": "route"},
    )
    trace = transaction["contexts"]["trace"]
    assert (trace["op"], trace["status"]) == ("http.server", "ok")
    assert transaction["tags"] == {
        "amani.process": "web",
        "http.status_code": "200",
        "request_id": IDENTIFIER,
    }
    (span,) = transaction["spans"]
    assert (span["op"], span["description"], span["trace_id"]) == (
        "db.sql.query",
        "SELECT ?",
        trace["trace_id"],
    )


def test_spans_lie_within_their_transaction(on: FakeSentry, browser: Client) -> None:
    browser.get("/query")
    transaction = the_transaction(on)
    (span,) = transaction["spans"]
    moments = [
        datetime.fromisoformat(text)
        for text in (
            transaction["start_timestamp"],
            span["start_timestamp"],
            span["timestamp"],
            transaction["timestamp"],
        )
    ]
    assert moments == sorted(moments)


def test_a_streamed_answer_ends_with_its_body(on: FakeSentry, browser: Client) -> None:
    answer: Any = browser.get("/streamed")
    assert on.of("transaction") == []
    assert b"".join(answer.streaming_content) == b"one two"
    answer.close()
    assert the_transaction(on)["transaction"] == "GET /streamed"


def test_an_odd_method_and_a_failure_have_plain_names(on: FakeSentry, browser: Client) -> None:
    browser.generic("PLANTED", "/broken")
    transaction = the_transaction(on)
    assert transaction["transaction"] == "OTHER /broken"
    assert transaction["contexts"]["trace"]["status"] == "internal_error"
    assert [event["transaction"] for event in on.of("event")] == ["/broken"]


def test_the_trace_is_opentelemetrys_and_the_rate_is_sent(on: FakeSentry, browser: Client) -> None:
    with tracer.start_as_current_span("by hand") as span:
        browser.get("/fine")
        here = span.get_span_context()
    trace = the_transaction(on)["contexts"]["trace"]
    assert (trace["trace_id"], trace["span_id"]) == (f"{here.trace_id:032x}", f"{here.span_id:016x}")
    (received,) = [one for one in on.received if one.kind == "transaction"]
    assert received.envelope["trace"]["trace_id"] == trace["trace_id"]
    assert received.envelope["trace"]["sample_rate"] == "1.0"


def test_tasks_are_transactions(on: FakeSentry) -> None:
    touch.apply(task_id="task-1")
    fail.apply(task_id="task-2")
    sentry.stop(PATIENCE_SECONDS)
    first, second = on.of("transaction")
    assert (first["transaction"], first["tags"]["task_id"], first["contexts"]["trace"]["status"]) == (
        "sample.touch",
        "task-1",
        "ok",
    )
    assert (second["transaction"], second["contexts"]["trace"]["status"]) == (
        "sample.fail",
        "internal_error",
    )


def test_a_profile_arrives(sentry_server: FakeSentry, settings: Any, browser: Client) -> None:
    settings.SENTRY_DSN = sentry_server.dsn
    settings.SENTRY_TRACES_SAMPLE_RATE = settings.SENTRY_PROFILES_SAMPLE_RATE = 1.0
    settings.MIDDLEWARE = [TRANSACTIONS]
    sentry.start("web")
    browser.get("/busy")
    sentry.stop(PATIENCE_SECONDS)
    (profile,) = sentry_server.of("profile")
    names = {frame["function"] for frame in profile["profile"]["frames"]}
    assert "busy" in names
    assert profile["transactions"][0]["name"] == "GET /busy"


def test_nothing_is_timed_at_rate_0_or_without_a_dsn(settings: Any, sentry_server: FakeSentry) -> None:
    settings.SENTRY_DSN, settings.SENTRY_TRACES_SAMPLE_RATE = sentry_server.dsn, 0.0
    with pytest.raises(MiddlewareNotUsed):
        SentryTransactionMiddleware(lambda _request: HttpResponse())
    settings.SENTRY_DSN, settings.SENTRY_TRACES_SAMPLE_RATE = "", 1.0
    with pytest.raises(MiddlewareNotUsed):
        SentryTransactionMiddleware(lambda _request: HttpResponse())


# --- Cost ---


def test_sentry_adds_no_call_to_a_healthy_request(settings: Any, sentry_server: FakeSentry) -> None:
    everything = tuple(settings.MIDDLEWARE)
    without = calls_per_request(settings, *everything)
    settings.SENTRY_DSN = sentry_server.dsn
    sentry.start("web")
    with_sentry = calls_per_request(settings, *everything)
    sentry.stop(PATIENCE_SECONDS)
    assert with_sentry - without < 0.5


def test_a_request_that_is_not_sampled_pays_the_middleware_and_a_random_number(
    settings: Any, sentry_server: FakeSentry
) -> None:
    without = calls_per_request(settings, REQUEST_LOG)
    settings.SENTRY_DSN, settings.SENTRY_TRACES_SAMPLE_RATE = sentry_server.dsn, 1e-12
    sentry.start("web")
    with_sentry = calls_per_request(settings, REQUEST_LOG, TRANSACTIONS)
    sentry.stop(PATIENCE_SECONDS)
    # convert_exception_to_response around it, its __call__ and random().
    assert with_sentry - without <= 4
