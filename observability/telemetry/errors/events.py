"""Builds Sentry's event of an error: where it happened, for which user, in which trace, and what led to it.

An event is a dictionary with Sentry's names (https://develop.sentry.dev/sdk/data-model/event-payloads/).
This module makes no database query: the user is named only if the request has already loaded it.
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
from observability.telemetry.errors.trail import Crumb, short_values, trail
from observability.telemetry.metrics.requests import endpoint_label
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
# Values that Amani or the SDK makes. The scrubber might mistake their digits for a card or phone number.
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
    """Returns the event and the SDK's hint, which has the exception. `about` has parts of the event."""
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
    """Adds the trace to the event. The SDK copies `dynamic_sampling_context` to the envelope's header."""
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
    """Cuts the middle out of long chains of exceptions and deep stacks: Sentry rejects more than a
    megabyte."""
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
    """Returns the parts of an event about a request."""
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
    user = telemetry_of(request).user
    if user is not None:
        about["user"] = about_user(user)
    return about


def host_of(request: HttpRequest) -> str:
    """Returns the host of the request; `get_host` would reject one that is not in ALLOWED_HOSTS."""
    return str(request.META.get("HTTP_HOST") or request.META.get("SERVER_NAME", ""))


def about_user(user: Any) -> dict[str, Any]:
    shown = {"id": str(user.pk), "role": role_of(user)}
    if settings.SENTRY_SEND_EMAIL:
        shown["email"] = user.email
    return shown


def role_of(user: Any) -> str:
    """Returns the names of the user's groups if they are loaded; else superuser, staff or user."""
    if user.is_superuser:
        return "superuser"
    loaded = user.__dict__.get("_prefetched_objects_cache", {}).get("groups")
    if loaded:
        return ", ".join(sorted(group.name for group in loaded))
    return "staff" if user.is_staff else "user"


def about_task(task: Task[Any, Any], task_id: str) -> Event:
    """Returns the parts of an event about a task.

    For the task of a lost child, the main process reads request id and trace from the message's headers.
    """
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
    """Returns the trace in a W3C `traceparent` that Amani wrote; None for anything else."""
    parts = (traceparent or "").split("-")
    return Trace(parts[1], parts[2], parts[3] == "01") if len(parts) == 4 else None


def about_command() -> Event:
    """Returns the parts of an event about a command: its program and first argument. Others may be secret."""
    words = [Path(sys.argv[0]).name, *sys.argv[1:2]] if sys.argv and sys.argv[0] else ["python"]
    name = " ".join(word for word in words if not word.startswith("-"))
    return {"transaction": name, "transaction_info": {"source": "custom"}, "level": "fatal"}


def about_thread(thread: threading.Thread | None) -> Event:
    name = thread.name if thread is not None else "unknown"
    return {"transaction": f"thread {name}", "transaction_info": {"source": "custom"}}


def about_here(context: Mapping[str, Any], user_info: Mapping[str, Any]) -> Event:
    """Returns the parts of an event about the current request or task, with `context` and `user_info`."""
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
    """Returns the parts of an event about the request or task that logged an exception."""
    return {**about_here({}, {}), "logger": record.name}


def may_show(name: str) -> bool:
    return settings.SENTRY_SEND_EMAIL or "mail" not in name.lower()


# --- After the scrubber ---


def with_ids_of(event: Event, scrubbed: Event) -> Event:
    """Returns `scrubbed` with the ids of `event` put back: those that Amani makes, and the user's."""
    scrubbed.update({name: event[name] for name in IDS if name in event})
    restore(event, scrubbed, "tags", TAGGED_IDS)
    restore(event, scrubbed, "user", ("id", "role", *(["email"] if settings.SENTRY_SEND_EMAIL else [])))
    restore(event, scrubbed, "contexts", ("trace",))
    return scrubbed


def restore(event: Event, scrubbed: Event, section: str, names: tuple[str, ...]) -> None:
    kept = {name: value for name, value in (event.get(section) or {}).items() if name in names}
    if kept:
        rest = scrubbed[section]
        # In an event that is too large, the scrubber leaves out whole sections.
        scrubbed[section] = {**rest, **kept} if isinstance(rest, dict) else kept
