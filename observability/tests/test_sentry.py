"""Errors at a Sentry over real HTTP: which arrive, once each, and what they say."""

import json
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import sentry_sdk
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.core.signals import got_request_exception
from django.db import connection
from django.http import Http404, HttpRequest, HttpResponse
from django.test import Client
from django.urls import path
from opentelemetry import context as otel_context
from opentelemetry import trace as otel_trace
from opentelemetry.sdk.trace import TracerProvider

from observability import sentry
from observability.sentry import add_breadcrumb, capture_exception
from observability.telemetry.errors.events import role_of
from observability.telemetry.errors.trail import trail
from observability.tests.fake_sentry import KEY, FakeSentry
from observability.tests.log_events import events_of
from observability.tests.sample_celery import fail
from observability.tests.waiting import PATIENCE_SECONDS

pytestmark = [pytest.mark.urls(__name__), pytest.mark.django_db]

IDENTIFIER = "request-0123456789"
tracer = TracerProvider(shutdown_on_exit=False).get_tracer(__name__)


class RefusedError(Exception):
    pass


def refuse() -> None:
    raise RefusedError


def broken(_request: HttpRequest, number: int) -> HttpResponse:
    secret_local = "planted-local"
    add_breadcrumb(message="before", category="step", level="debug", data={"number": number})
    with connection.cursor() as cursor:
        cursor.execute("SELECT 'planted-literal', %s", [secret_local])
    logging.getLogger("sample").warning("nearly there")
    raise RefusedError("broken on purpose")


def broken_when_signed_in(request: HttpRequest) -> HttpResponse:
    assert request.user.pk  # loads the user, as most views do
    raise RefusedError


def handled(_request: HttpRequest) -> HttpResponse:
    try:
        refuse()
    except RefusedError as error:
        user_info = {"id": 12, "email": "planted@example.com"}
        capture_exception(error, context={"operation": "payment"}, user_info=user_info)
    return HttpResponse()


def handled_then_raised(_request: HttpRequest) -> HttpResponse:
    try:
        refuse()
    except RefusedError as error:
        capture_exception(error)
        raise
    return HttpResponse()


def logged(_request: HttpRequest) -> HttpResponse:
    try:
        refuse()
    except RefusedError:
        logging.getLogger("sample").exception("it went on")
    return HttpResponse()


def missing(_request: HttpRequest) -> HttpResponse:
    raise Http404


def forbidden(_request: HttpRequest) -> HttpResponse:
    raise PermissionDenied


urlpatterns = [
    path("broken/<int:number>", broken),
    path("signed-in", broken_when_signed_in),
    path("handled", handled),
    path("twice", handled_then_raised),
    path("logged", logged),
    path("missing", missing),
    path("forbidden", forbidden),
]


@pytest.fixture
def on(sentry_server: FakeSentry, settings: Any) -> Iterator[FakeSentry]:
    """Sentry is on, as in a web process."""
    trail.forget()
    settings.SENTRY_DSN = sentry_server.dsn
    settings.SENTRY_SEND_EMAIL = False
    sentry.start("web")
    yield sentry_server
    sentry.stop(PATIENCE_SECONDS)


@pytest.fixture
def browser() -> Client:
    return Client(raise_request_exception=False, headers={"X-Request-ID": IDENTIFIER})


def the_event(sentry_server: FakeSentry) -> dict[str, Any]:
    """The only one, after everything that was captured has arrived."""
    sentry.stop(PATIENCE_SECONDS)
    (event,) = sentry_server.of("event")
    return event


def no_event(sentry_server: FakeSentry) -> bool:
    sentry.stop(PATIENCE_SECONDS)
    return sentry_server.of("event") == []


def test_an_unhandled_error_is_one_event_with_route_and_request_id(on: FakeSentry, browser: Client) -> None:
    assert browser.get("/broken/5").status_code == 500
    event = the_event(on)
    assert event["transaction"] == "/broken/<int:number>"
    (exception,) = event["exception"]["values"]
    assert (exception["type"], exception["value"]) == ("RefusedError", "broken on purpose")
    assert exception["mechanism"] == {"type": "django", "handled": False}
    assert event["tags"] == {
        "endpoint": "/broken/<int:number>",
        "request_id": IDENTIFIER,
        "amani.process": "web",
    }
    assert event["level"] == "error"


def test_event_has_release_and_environment(on: FakeSentry, browser: Client, settings: Any) -> None:
    browser.get("/broken/5")
    event = the_event(on)
    assert (event["release"], event["environment"]) == (settings.RELEASE, settings.ENVIRONMENT)


def test_event_has_no_body_cookie_query_string_local_or_literal(on: FakeSentry, browser: Client) -> None:
    browser.cookies["session"] = "planted-cookie"
    body = json.dumps({"password": "planted-body"})
    browser.post(
        "/broken/5?token=planted-query",
        data=body,
        content_type="application/json",
        headers={"Authorization": "Bearer planted-token", "Referer": "http://a/?planted-referer"},
    )
    event = the_event(on)
    assert event["request"] == {
        "method": "POST",
        "url": "http://testserver/broken/5",
        "headers": {"Content-Length": str(len(body)), "Content-Type": "application/json"},
    }
    assert all("vars" not in frame for frame in event["exception"]["values"][0]["stacktrace"]["frames"])
    code = {"context_line", "pre_context", "post_context"}
    for exception in event["exception"]["values"]:
        for frame in exception["stacktrace"]["frames"]:
            for name in code & set(frame):
                del frame[name]  # the source of this file plants them
    assert "planted" not in json.dumps(event)


def test_event_has_what_led_to_it_in_order_and_no_more(on: FakeSentry, browser: Client) -> None:
    add_breadcrumb("of an earlier request")
    browser.get("/broken/5")
    crumbs = the_event(on)["breadcrumbs"]["values"]
    assert [(one["category"], one["message"]) for one in crumbs] == [
        ("step", "before"),
        ("query", "SELECT ?, %s"),
        ("sample", "nearly there"),
    ]
    assert (crumbs[0]["level"], crumbs[0]["data"]) == ("debug", {"number": 5})
    assert crumbs[1]["data"]["duration_ms"] > 0
    moments = [one["timestamp"] for one in crumbs]
    assert moments == sorted(moments)


def test_the_trace_is_opentelemetrys_in_event_and_envelope(
    on: FakeSentry, browser: Client, settings: Any
) -> None:
    with tracer.start_as_current_span("by hand") as span:
        browser.get("/broken/5")
        here = span.get_span_context()
    trace_id = f"{here.trace_id:032x}"
    assert the_event(on)["contexts"]["trace"] == {"trace_id": trace_id, "span_id": f"{here.span_id:016x}"}
    (received,) = [one for one in on.received if one.kind == "event"]
    assert received.envelope["trace"] == {
        "trace_id": trace_id,
        "public_key": KEY,
        "release": settings.RELEASE,
        "environment": settings.ENVIRONMENT,
    }


def test_without_tracing_there_is_no_trace(on: FakeSentry, browser: Client) -> None:
    token = otel_context.attach(otel_trace.set_span_in_context(otel_trace.INVALID_SPAN))
    browser.get("/broken/5")
    otel_context.detach(token)
    assert "trace" not in the_event(on)["contexts"]


@pytest.mark.parametrize("may_send", [False, True])
def test_a_user_is_id_and_role_and_an_e_mail_only_if_allowed(
    on: FakeSentry, browser: Client, operator: Any, settings: Any, may_send: bool
) -> None:
    settings.SENTRY_SEND_EMAIL = may_send
    user = operator("viewer")
    browser.force_login(user)
    browser.get("/signed-in")
    expected = {"id": str(user.pk), "role": "staff"}
    assert the_event(on)["user"] == (expected | {"email": "viewer@example.com"} if may_send else expected)


def test_roles_are_the_groups_where_they_are_loaded(on: FakeSentry, browser: Client, operator: Any) -> None:
    user = operator("viewer")
    assert role_of(user) == "staff"
    user._prefetched_objects_cache = {"groups": [Group(name="viewer"), Group(name="auditor")]}
    assert role_of(user) == "auditor, viewer"
    assert role_of(operator("superuser")) == "superuser"


def test_naming_the_user_asks_no_question(
    on: FakeSentry, browser: Client, operator: Any, django_assert_num_queries: Any
) -> None:
    browser.force_login(operator("viewer"))
    with django_assert_num_queries(1):  # the view's own; nobody has asked who is signed in
        browser.get("/broken/5")
    assert "user" not in the_event(on)


def test_a_handled_error_has_context_and_user(on: FakeSentry, browser: Client) -> None:
    assert browser.get("/handled").status_code == 200
    event = the_event(on)
    assert event["contexts"]["context"] == {"operation": "payment"}
    assert event["user"] == {"id": 12}
    assert event["tags"]["request_id"] == IDENTIFIER
    assert event["exception"]["values"][0]["mechanism"] == {"type": "generic", "handled": True}


def test_event_of_a_handled_error_has_the_e_mail_if_allowed(
    on: FakeSentry, browser: Client, settings: Any
) -> None:
    settings.SENTRY_SEND_EMAIL = True
    browser.get("/handled")
    assert the_event(on)["user"] == {"id": 12, "email": "planted@example.com"}


def test_the_same_error_is_sent_once(on: FakeSentry, browser: Client) -> None:
    assert browser.get("/twice").status_code == 500
    assert the_event(on)["exception"]["values"][0]["mechanism"]["type"] == "generic"


def test_an_error_that_is_logged_with_its_traceback_is_sent(on: FakeSentry, browser: Client) -> None:
    handler = sentry.ErrorHandler(logging.ERROR)
    logging.getLogger().addHandler(handler)
    browser.get("/logged")
    browser.get("/broken/5")  # django.request logs it too
    logging.getLogger().removeHandler(handler)
    sentry.stop(PATIENCE_SECONDS)
    logged, broken = on.of("event")
    assert (logged["logger"], logged["exception"]["values"][0]["mechanism"]["type"]) == ("sample", "logging")
    assert broken["exception"]["values"][0]["mechanism"]["type"] == "django"


def test_a_missing_page_and_a_refusal_are_no_errors(on: FakeSentry, browser: Client) -> None:
    assert browser.get("/missing").status_code == 404
    assert browser.get("/forbidden").status_code == 403
    assert no_event(on)


def test_a_failed_task_names_itself_its_id_and_its_trace(on: FakeSentry) -> None:
    with tracer.start_as_current_span("run") as span:
        result = fail.apply(task_id="task-1")
        trace_id = f"{span.get_span_context().trace_id:032x}"
    assert result.state == "FAILURE"
    event = the_event(on)
    assert event["transaction"] == "sample.fail"
    assert event["exception"]["values"][0]["value"] == "broken on purpose"
    assert event["tags"] == {"task_id": "task-1", "amani.process": "web"}
    assert event["contexts"]["trace"]["trace_id"] == trace_id


def test_a_thread_that_dies_is_reported(on: FakeSentry, monkeypatch: pytest.MonkeyPatch) -> None:
    printed: list[Any] = []
    assert sentry.Running.hooks is not None
    monkeypatch.setattr(sentry.Running, "hooks", (sentry.Running.hooks[0], printed.append))

    thread = threading.Thread(target=refuse, name="keeper")
    thread.start()
    thread.join()
    monkeypatch.undo()
    assert the_event(on)["transaction"] == "thread keeper"
    assert len(printed) == 1


def test_without_a_dsn_nothing_is_connected(
    sentry_server: FakeSentry, browser: Client, settings: Any
) -> None:
    settings.SENTRY_DSN = ""
    sentry.start("web")
    assert sentry.Running.client is None
    assert not any("observability.sentry" in str(receiver[0]) for receiver in got_request_exception.receivers)
    trail.forget()
    add_breadcrumb("nobody listens")
    capture_exception(RefusedError())
    assert browser.get("/broken/5").status_code == 500
    assert sentry_server.received == []
    assert [one.message for one in trail.crumbs if one.category == "default"] == []


@pytest.mark.parametrize(
    ("dsn", "problem"),
    [
        ("planted-key", "Unsupported scheme"),
        ("https://o1.ingest.sentry.io/1", "Missing public key"),
        ("https://planted-key@sentry.io/project", "Invalid project"),
        ("https://planted-key@sentry.io:port/1", "Invalid host or port"),
        ("https://planted-key@[::1/1", "Invalid host or port"),
        ("http://planted-key@/1", "Missing hostname"),
    ],
)
def test_a_malformed_dsn_is_logged_and_leaves_sentry_off(
    dsn: str, problem: str, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.SENTRY_DSN = dsn
    sentry.start("web")
    assert sentry.Running.client is None
    (line,) = events_of(caplog.records)
    assert (line["event"], line["setting"], line["problem"]) == ("sentry_is_off", "SENTRY_DSN", problem)


def test_starting_again_replaces_the_client_and_sends_once(
    on: FakeSentry, browser: Client, settings: Any
) -> None:
    sentry.start("worker")
    browser.get("/broken/5")
    assert the_event(on)["tags"]["amani.process"] == "worker"


def test_nothing_of_ours_is_left_in_the_sdk_after_the_end(on: FakeSentry) -> None:
    sentry.stop(PATIENCE_SECONDS)
    with sentry_sdk.isolation_scope() as scope:
        scope.set_client(sentry_sdk.Client(dsn=on.dsn, default_integrations=False))
        sentry_sdk.capture_message("of another client")
        scope.get_client().close(5)
    assert "tags" not in on.event()
