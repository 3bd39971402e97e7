"""Sends errors to Sentry: unhandled ones of requests, tasks, commands and threads, and those captured by
hand.

    add_breadcrumb(message="Payment attempted", category="payment", data={"amount": 100})
    try:
        risky_operation()
    except PaymentRefused as error:
        capture_exception(error, context={"operation": "payment"}, user_info={"id": user.pk})

To leave errors out, edit `before_send_handler`. Without SENTRY_DSN nothing is sent and the SDK is not
imported. Its integrations stay off: see docs/adr/0005-sentrys-integrations-stay-off.md.
"""

from __future__ import annotations

import logging
import sys
import threading
import warnings
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

import structlog
from celery import Task
from celery.signals import task_failure
from django.conf import settings
from django.core.signals import got_request_exception
from django.http import HttpRequest

from core.scrubbing import scrub
from observability.metrics import record_sentry_event
from observability.telemetry.errors import events as error_events
from observability.telemetry.errors.trail import trail

if TYPE_CHECKING:
    from sentry_sdk.client import BaseClient

    from observability.telemetry.errors.events import Event
    from observability.telemetry.errors.transport import CountingTransport

log = structlog.get_logger(__name__)

QUEUE_SIZE = 100
LONGEST_TEXT = 4_000
# Loggers that are not reported: this module and the SDK; wrong Host headers; Celery's, which has its signal.
NOT_FROM = (__name__, "sentry_sdk", "django.security", "celery.app.trace", "celery.worker.request")
PROCESS_TAG = "amani.process"
SENT = "_amani_sent_to_sentry"  # in the __dict__ of an exception that was already sent


class Running:
    """The state of Sentry in this process, while it is on."""

    client: BaseClient | None = None
    transport: CountingTransport | None = None
    kind = ""
    hooks: tuple[Any, Any] | None = None  # what sys.excepthook and threading.excepthook were


def before_send_handler(event: Event, hint: dict[str, Any]) -> Event | None:
    """Filters events: return `event`, changed or not, or None to leave it out.

    `hint["exc_info"]` has the exception. The scrubber runs on the returned event. For example:

        if isinstance(hint["exc_info"][1], ConnectionResetError):
            return None  # the client closed the connection
    """
    del hint
    return event


def capture_exception(
    exception: BaseException,
    context: Mapping[str, Any] | None = None,
    user_info: Mapping[str, Any] | None = None,
) -> None:
    """Sends an exception that was handled, with `context` and `user_info` as additional data.

    An e-mail address in `user_info` is left out unless SENTRY_SEND_EMAIL is set. Never raises.
    """
    if Running.client is None:
        return
    report(
        exception,
        "generic",
        lambda: error_events.about_here(context or {}, user_info or {}),
        handled=True,
    )


def add_breadcrumb(
    message: str,
    category: str = "default",
    level: str = "info",
    data: Mapping[str, Any] | None = None,
) -> None:
    """Adds a breadcrumb, which is sent with the next error of this request or task. Values are cut off."""
    if Running.client is not None:
        trail.add(message, category, level, data)


# --- Start and end of a process ---


def start(kind: str) -> None:
    """Turns Sentry on in this process. Call it again after a fork.

    `kind`: `web`, `worker`, `worker-main`, `beat` or `command`. With a malformed SENTRY_DSN Sentry stays off
    and Amani runs.
    """
    if not settings.SENTRY_DSN:
        return
    problem = dsn_problem(settings.SENTRY_DSN)
    if problem:
        log.error("sentry_is_off", setting="SENTRY_DSN", problem=problem)
        return
    Running.client, Running.kind = make_client(kind), kind
    Running.transport = cast("CountingTransport", Running.client.transport)
    connect()
    if settings.SENTRY_TRACES_SAMPLE_RATE:
        # Imports a middleware, whose module is imported by those who import this one.
        from observability.telemetry.errors import performance

        performance.watch_tasks()


def stop(timeout: float) -> None:
    """Sends the queued events within `timeout` seconds, and turns Sentry off. The rest counts as dropped."""
    client, Running.client, Running.transport = Running.client, None, None
    disconnect()
    if client is not None:
        import sentry_sdk

        client.close(timeout)
        # Other clients of this process share the global scope.
        sentry_sdk.get_global_scope().remove_tag(PROCESS_TAG)


def dsn_problem(dsn: str) -> str:
    """Returns what is wrong with `dsn`, without quoting it; "" when it is valid."""
    from sentry_sdk.utils import BadDsn, Dsn

    try:
        Dsn(dsn)
    except BadDsn as problem:
        return str(problem).partition(" in DSN")[0].partition(" '")[0]
    except ValueError:
        return "Invalid host or port"
    return ""


def make_client(kind: str) -> BaseClient:
    import sentry_sdk

    with warnings.catch_warnings():
        # The SDK recommends profiling of processes; SENTRY_PROFILES_SAMPLE_RATE is about transactions.
        warnings.simplefilter("ignore", DeprecationWarning)
        sentry_sdk.init(**client_options())
    sentry_sdk.get_global_scope().set_tag(PROCESS_TAG, kind)
    return sentry_sdk.get_client()


def client_options() -> dict[str, Any]:
    from observability.telemetry.errors.transport import CountingTransport

    return {
        "dsn": settings.SENTRY_DSN,
        "environment": settings.ENVIRONMENT,
        "release": settings.RELEASE,
        "default_integrations": False,
        "auto_enabling_integrations": False,
        "auto_session_tracking": False,
        "enable_backpressure_handling": False,  # a thread that watches the queue
        "include_local_variables": False,
        "max_request_body_size": "never",
        "max_value_length": LONGEST_TEXT,
        "before_send": prepare,
        "before_send_transaction": prepare_transaction,
        "traces_sample_rate": settings.SENTRY_TRACES_SAMPLE_RATE or None,
        "profiles_sample_rate": settings.SENTRY_PROFILES_SAMPLE_RATE or None,
        "transport": CountingTransport,
        "transport_queue_size": QUEUE_SIZE,
        "project_root": str(settings.BASE_DIR),
        "spotlight": False,
    }


def connect() -> None:
    """Connects signals and hooks, which cost nothing until an error. A second call changes nothing."""
    got_request_exception.connect(report_request, dispatch_uid="observability.sentry")
    task_failure.connect(report_task, dispatch_uid="observability.sentry")
    if Running.hooks is None:
        Running.hooks = sys.excepthook, threading.excepthook
        sys.excepthook, threading.excepthook = report_command, report_thread


def disconnect() -> None:
    got_request_exception.disconnect(dispatch_uid="observability.sentry")
    task_failure.disconnect(dispatch_uid="observability.sentry")
    if Running.hooks is not None:
        sys.excepthook, threading.excepthook = Running.hooks
        Running.hooks = None


# --- Unhandled exceptions ---


def report_request(request: HttpRequest | None = None, **_: object) -> None:
    """Reports an unhandled exception of a view. Django sends no signal for Http404 and PermissionDenied."""
    exception = sys.exc_info()[1]
    if exception is not None and request is not None:
        report(exception, "django", lambda: error_events.about_request(request))


def report_task(
    sender: Task[Any, Any] | None = None,
    task_id: str = "",
    exception: BaseException | None = None,
    **_: object,
) -> None:
    """Reports a failed task, in the child that ran it, or in the main process when the child was lost."""
    if exception is not None and sender is not None:
        report(exception, "celery", lambda: error_events.about_task(sender, task_id))


def report_command(
    kind: type[BaseException], exception: BaseException, traceback: TracebackType | None
) -> None:
    """Replaces sys.excepthook. It is not called for CommandError and SystemExit."""
    if not issubclass(kind, KeyboardInterrupt):
        report(exception, "excepthook", error_events.about_command)
    if Running.hooks is not None:
        Running.hooks[0](kind, exception, traceback)


def report_thread(died: threading.ExceptHookArgs) -> None:
    """Replaces threading.excepthook."""
    if died.exc_value is not None and not isinstance(died.exc_value, SystemExit):
        report(died.exc_value, "threading", lambda: error_events.about_thread(died.thread))
    if Running.hooks is not None:
        Running.hooks[1](died)


class ErrorHandler(logging.Handler):
    """Sends exceptions that were logged with their traceback, as gunicorn and Celery do with their own."""

    def emit(self, record: logging.LogRecord) -> None:
        exception = record.exc_info[1] if record.exc_info else None
        if exception is not None and not record.name.startswith(NOT_FROM):
            report(exception, "logging", lambda: error_events.about_line(record), handled=True)


def report(
    exception: BaseException, mechanism: str, about: Callable[[], Event], *, handled: bool = False
) -> None:
    """Sends `exception`, if it was not sent before. Never raises: the caller is handling an error already."""
    client = Running.client
    if client is None or SENT in exception.__dict__:
        return
    exception.__dict__[SENT] = True
    if Running.transport is not None and Running.transport.turns_away():
        return
    try:
        event, hint = error_events.event_of(
            exception, {"type": mechanism, "handled": handled}, client, about()
        )
        event["tags"]["amani.process"] = Running.kind
        client.capture_event(event, hint)
    except Exception:
        record_sentry_event("dropped")
        log.exception("sentry_event_failed")


# --- Filter and scrubber ---


def prepare(event: Event, hint: dict[str, Any]) -> Event | None:
    """Filters and scrubs an event.

    If the filter fails, the event is kept; if the scrubber fails, it is not sent.
    """
    try:
        kept = before_send_handler(event, hint)
    except Exception:
        log.exception("before_send_handler_failed")
        kept = event
    return None if kept is None else scrub_event(kept)


def prepare_transaction(event: Event, _hint: dict[str, Any]) -> Event | None:
    return scrub_event(event)


def scrub_event(event: Event) -> Event:
    """Returns `event` scrubbed, but with its ids, whose digits could be mistaken for a card number."""
    scrubbed: Event = scrub(event)
    return error_events.with_ids_of(event, scrubbed)
