"""Views and tasks that do everything wrong with the secrets of core/tests/planted.py."""

from __future__ import annotations

import logging
import os
from typing import Any

import requests
import structlog
from celery import shared_task
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from opentelemetry import trace

from core.tests.planted import PLANTED
from observability.alerts import send_alert
from observability.sentry import add_breadcrumb, capture_exception
from observability.tests.waiting import ANSWER_SECONDS
from observability.tracing import add_span_attributes, get_tracer

logger = logging.getLogger(__name__)
log = structlog.get_logger(__name__)
tracer = get_tracer(__name__)

UNIQUE = "CREATE TEMP TABLE IF NOT EXISTS person (email text UNIQUE, nin text UNIQUE, age integer)"


def text(name: str) -> str:
    return PLANTED[name].text


def value(name: str) -> str:
    return PLANTED[name].value


@csrf_exempt
def leaks(request: HttpRequest, token: str = "") -> HttpResponse:
    """Tells everybody everything, and then fails."""
    passphrase = {"passphrase": value("local"), "text": text("local")}  # noqa: F841  (a local to be found)
    write_logs(request, token)
    write_spans()
    break_statements()
    call_vendor()
    send_alert(
        text("alert message"),
        severity="critical",
        context={"password": value("alert context"), "about": text("alert context text")},
    )
    fail_task.delay(value("task argument"), api_key=value("task keyword"))
    fails_in_every_way()
    return HttpResponse("never")


def write_logs(request: HttpRequest, token: str) -> None:
    logger.info(text("log message"))
    logger.info("%s Signed in with %s", PLANTED["log argument"].mark, value("log argument"))
    logger.info("with extra", extra={"customer": {"password": value("log extra"), "name": "mark-extra"}})
    log.info("paid", account=text("log field"), payload=request.POST.dict(), body=request.body)
    log.info("headers", headers=dict(request.headers), query=request.GET.urlencode(), token=token)
    for name in ("form password", "basic header", "reset token", "missing path", "task keyword"):
        log.warning("told", what=text(name))
    add_breadcrumb(text("breadcrumb"), data={"pin": value("breadcrumb"), "text": text("breadcrumb")})


def write_spans() -> None:
    add_span_attributes(refresh_token=value("span attribute"), note=text("span attribute"))
    trace.get_current_span().add_event(text("span event"), {"phone": value("span event")})
    with tracer.start_as_current_span(text("span name")) as span:
        span.set_status(trace.StatusCode.ERROR, text("span name"))


def break_statements() -> None:
    """Each of them fails; its error is logged and sent."""
    person, number = value("sql parameter"), value("sql key")
    statements: list[tuple[str, list[Any]]] = [
        ("INSERT INTO person (email) VALUES (%s), (%s)", [person, person]),
        ("INSERT INTO person (nin) VALUES (%s), (%s)", [number, number]),
        (f"SELECT age FROM person WHERE password = '{value('sql literal')}'", []),  # noqa: S608
        ("SELECT * FROM person WHERE age = %s::text::integer", [value("sql wrong type")]),
    ]
    with connection.cursor() as cursor:
        cursor.execute(UNIQUE)
        for statement, parameters in statements:
            try:
                cursor.execute(statement, parameters)
            except DatabaseError as problem:
                capture_exception(
                    problem,
                    context={"client_secret": value("capture context"), "text": text("capture context")},
                    user_info={"id": 7, "email": value("user info"), "name": text("user info")},
                )
                logger.exception("statement_failed")


def call_vendor() -> None:
    answer = requests.post(
        os.environ["TEST_VENDOR_URL"] + "?apikey=" + value("called url"),
        json={"apikey": value("called url")},
        headers={"Authorization": f"Bearer {value('called url')}"},
        timeout=ANSWER_SECONDS,
    )
    log.warning("vendor_said", body=answer.text, headers=dict(answer.headers), url=answer.url)
    add_breadcrumb(f"GET {answer.url}", category="http", data={"url": answer.url})


def fails_in_every_way() -> None:
    """An exception with a note, out of a group, with a cause that came while another was handled."""
    try:
        try:
            raise KeyError(text("context of exception"))  # noqa: TRY301
        except KeyError:
            raise ExceptionGroup("several", [ValueError(text("group member")), refused()])  # noqa: B904
    except ExceptionGroup as group:
        capture_exception(group)
        problem = RuntimeError(text("exception"))
        problem.add_note(text("note"))
        raise problem from group


def refused() -> Exception:
    problem = PermissionError(13, text("cause"))
    problem.__cause__ = ValueError({"card": value("cause"), "text": text("cause")})
    return problem


@shared_task(name="tests.fail_task")
def fail_task(card: str, api_key: str = "") -> None:
    arguments = {"card": card, "api_key": api_key}
    logger.info("task with %s", arguments, extra={"arguments": arguments})
    raise RuntimeError(text("task exception"))


urlpatterns = [
    path("test/leaks", leaks),
    path("test/reset/<str:token>/", leaks),
]
