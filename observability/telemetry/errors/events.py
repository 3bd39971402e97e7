"""What Sentry is told about an error: where, for whom, in which trace, and what led to it.

An event is a dictionary with Sentry's names (https://develop.sentry.dev/sdk/data-model/event-payloads/).
Nothing here asks the database: a user is named only if the request has loaded one already.
"""

from __future__ import annotations

import logging
import platform
import sys
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from celery import Task, current_app
from django.conf import settings
from django.http import HttpRequest

from core.request_id import current_request_id
from observability.metrics import endpoint_label
from observability.telemetry.errors.trail import Crumb, short_values, trail
from observability.telemetry.request import telemetry_of
from observability.telemetry.traces.current import Trace, current_trace

if TYPE_CHECKING:
    from sentry_sdk.client import BaseClient

Event = dict[str, Any]

SHOWN_HEADERS = ("Accept", "Content-Length", "Content-Type", "User-Agent")
REQUEST_ID_HEADER = "amani_request_id"
MOST_EXCEPTIONS = 20
MOST_FRAMES = 160  # of all exceptions together
RUNTIME = {"name": platform.python_implementation(), "version": platform.python_version()}
# The scrubber may take these for numbers of cards or telephones. None of them is anybody's text.
IDS = (
    "event_id",
    "timestamp",
    "start_timestamp",
    "platform",
    "type",
    "level",
    "release",
    "environment",
    "sdk",
)
TAGGED_IDS = ("request_id", "task_id", "amani.process")


def event_of(
    exception: BaseException, mechanism: dict[str, Any], client: BaseClient, about: Event
) -> tuple[Event, dict[str, Any]]:
    """The event, and the SDK's hint with the exception."""
    from sentry_sdk.utils import event_from_exception

    made, hint = event_from_exception(exception, client_options=client.options, mechanism=mechanism)
    event: Event = {**made, "tags": {}, "contexts": {}, **about}
    identifier = event["tags"].setdefault("request_id", current_request_id())
    if not identifier:
        del event["tags"]["request_id"]
    add_trace(event, event.pop("trace", None) or current_trace(), client)
    event["contexts"]["runtime"] = RUNTIME
    event["breadcrumbs"] = {"values": breadcrumbs()}
    shorten(event)
    return event, hint


def add_trace(event: Event, trace: Trace | None, client: BaseClient) -> None:
    """`dynamic_sampling_context` becomes the envelope's own `trace`."""
    if trace is None:
        return
    envelope_trace = {
        "trace_id": trace.trace_id,
        "public_key": client.parsed_dsn.public_key if client.parsed_dsn else "",
        "release": settings.RELEASE,
        "environment": settings.ENVIRONMENT,
    }
    event["contexts"]["trace"] = {
        "trace_id": trace.trace_id,
        "span_id": trace.span_id,
        "dynamic_sampling_context": envelope_trace,
    }


def breadcrumbs() -> list[dict[str, Any]]:
    now = time.time() - time.perf_counter()
    return [as_breadcrumb(crumb, now + crumb.at) for crumb in trail.leading_here()]


def as_breadcrumb(crumb: Crumb, timestamp: float) -> dict[str, Any]:
    return {
        "type": crumb.kind,
        "category": crumb.category,
        "message": crumb.message,
        "level": crumb.level,
        "timestamp": datetime.fromtimestamp(timestamp, UTC).isoformat(),
        "data": crumb.data,
    }


def shorten(event: Event) -> None:
    """Keeps both ends of a chain of exceptions and of deep stacks: Sentry refuses more than a megabyte."""
    exceptions = event["exception"]["values"]
    half = MOST_EXCEPTIONS // 2
    if len(exceptions) > MOST_EXCEPTIONS:
        del exceptions[half:-half]
    each = max(MOST_FRAMES // len(exceptions), 4)
    for exception in exceptions:
        if isinstance(exception.get("stacktrace"), dict):
            shorten_stack(exception["stacktrace"], first=each // 4, last=each - each // 4)


def shorten_stack(stacktrace: dict[str, Any], first: int, last: int) -> None:
    frames = stacktrace["frames"]
    if len(frames) > first + last:
        stacktrace["frames_omitted"] = [first, len(frames) - last]
        del frames[first:-last]


# --- Where it happened ---


def about_request(request: HttpRequest) -> Event:
    match = request.resolver_match
    endpoint = endpoint_label(match.route if match is not None else None)
    about: Event = {
        "transaction": endpoint,
        "transaction_info": {"source": "route"},
        "request": {
            "method": request.method,
            "url": f"{request.scheme}://{host_of(request)}{request.path}",
            "headers": {name: request.headers[name] for name in SHOWN_HEADERS if name in request.headers},
        },
        "trace": telemetry_of(request).trace,
        "tags": {"endpoint": endpoint},
    }
    user = request.__dict__.get("_cached_user")  # `request.user` might ask the database
    if user is not None and user.is_authenticated:
        about["user"] = about_user(user)
    return about


def host_of(request: HttpRequest) -> str:
    """As it was asked for; `get_host` would refuse a host that is not allowed."""
    return str(request.META.get("HTTP_HOST") or request.META.get("SERVER_NAME", ""))


def about_user(user: Any) -> dict[str, Any]:
    shown = {"id": str(user.pk), "role": role_of(user)}
    if settings.SENTRY_SEND_EMAIL:
        shown["email"] = user.email
    return shown


def role_of(user: Any) -> str:
    """The names of the user's groups only if they are loaded."""
    if user.is_superuser:
        return "superuser"
    loaded = user.__dict__.get("_prefetched_objects_cache", {}).get("groups")
    if loaded:
        return ", ".join(sorted(group.name for group in loaded))
    return "staff" if user.is_staff else "user"


def about_task(task: Task[Any, Any], task_id: str) -> Event:
    """Of a lost child's task the main process has the message's headers, but neither request id nor trace."""
    message = task.request
    about: Event = {
        "transaction": task.name,
        "transaction_info": {"source": "task"},
        "tags": {"task_id": task_id},
    }
    identifier = current_request_id() or message.get(REQUEST_ID_HEADER)
    if identifier:
        about["tags"]["request_id"] = identifier
    about["trace"] = current_trace() or trace_in(message.get("traceparent"))
    return about


def trace_in(traceparent: str | None) -> Trace | None:
    """The trace of a W3C `traceparent` that Amani itself has written."""
    parts = (traceparent or "").split("-")
    return Trace(parts[1], parts[2], parts[3] == "01") if len(parts) == 4 else None


def about_command() -> Event:
    """The program and its first word, since what follows are arguments and may be secret."""
    words = [Path(sys.argv[0]).name, *sys.argv[1:2]] if sys.argv and sys.argv[0] else ["python"]
    name = " ".join(word for word in words if not word.startswith("-"))
    return {"transaction": name, "transaction_info": {"source": "custom"}, "level": "fatal"}


def about_thread(thread: threading.Thread | None) -> Event:
    name = thread.name if thread is not None else "unknown"
    return {"transaction": f"thread {name}", "transaction_info": {"source": "custom"}}


def about_here(context: Mapping[str, Any], user_info: Mapping[str, Any]) -> Event:
    """Of the request or task in which somebody called capture_exception."""
    about: Event = {}
    if trail.request is not None:
        about = about_request(trail.request)
    elif (task := current_app.current_task) is not None:
        about = about_task(task, task.request.id or "")
    if context:
        about["contexts"] = {"context": dict(context)}
    if user_info:
        shown = {str(name): value for name, value in user_info.items() if may_show(name)}
        about["user"] = {**about.get("user", {}), **short_values(shown)}
    return about


def about_line(record: logging.LogRecord) -> Event:
    """Of the request or task in which somebody logged an exception."""
    return {**about_here({}, {}), "logger": record.name}


def may_show(name: str) -> bool:
    return settings.SENTRY_SEND_EMAIL or "mail" not in name.lower()


# --- After the scrubber ---


def with_ids_of(event: Event, scrubbed: Event) -> Event:
    """`scrubbed` with the ids that `event` had: those Amani makes, and the user's."""
    scrubbed.update({name: event[name] for name in IDS if name in event})
    restore(event, scrubbed, "tags", TAGGED_IDS)
    restore(event, scrubbed, "user", ("id", "role", *(["email"] if settings.SENTRY_SEND_EMAIL else [])))
    restore(event, scrubbed, "contexts", ("trace",))
    return scrubbed


def restore(event: Event, scrubbed: Event, section: str, names: tuple[str, ...]) -> None:
    kept = {name: value for name, value in (event.get(section) or {}).items() if name in names}
    if kept:
        rest = scrubbed[section]
        # Of an event that is too large, the scrubber leaves out whole sections.
        scrubbed[section] = {**rest, **kept} if isinstance(rest, dict) else kept
