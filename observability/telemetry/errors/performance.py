"""Sends timings of requests and tasks to Sentry (SENTRY_TRACES_SAMPLE_RATE), and profiles for some of them.

The spans are made from the trail when the response is ready, so that recording a statement costs nothing
more: they are the last SIZE statements and the last SIZE outgoing calls. A request that is not sampled costs
one random number.
"""

from __future__ import annotations

import random
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from time import perf_counter
from typing import TYPE_CHECKING, Any, cast

from celery import Task
from celery.signals import task_postrun, task_prerun
from django.conf import settings
from django.core.exceptions import MiddlewareNotUsed
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from core.request_id import current_request_id
from observability.telemetry.errors.trail import Crumb, trail
from observability.telemetry.metrics.requests import METHODS, endpoint_label
from observability.telemetry.middleware import GetResponse, route_of, when_closed
from observability.telemetry.traces.current import current_trace

if TYPE_CHECKING:
    from sentry_sdk.tracing import Transaction

# Celery's state -> Sentry's status.
STATUSES = {"SUCCESS": "ok", "IGNORED": "ok", "RETRY": "aborted", "REJECTED": "aborted"}
OPERATIONS = {"query": "db.sql.query", "http": "http.client"}

running: dict[str, tuple[Transaction, ExitStack]] = {}


def is_on() -> bool:
    return bool(settings.SENTRY_DSN and settings.SENTRY_TRACES_SAMPLE_RATE)


def is_sampled() -> bool:
    rate: float = settings.SENTRY_TRACES_SAMPLE_RATE
    return random.random() < rate  # noqa: S311  (a sample, no secret)


class SentryTransactionMiddleware:
    """Records a transaction for each sampled request. It is placed inside the tracing middleware, whose trace
    the transaction belongs to."""

    def __init__(self, get_response: GetResponse) -> None:
        if not is_on():
            raise MiddlewareNotUsed
        self.get_response = get_response
        self.rate: float = settings.SENTRY_TRACES_SAMPLE_RATE

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if random.random() >= self.rate:  # noqa: S311  (without a call of our own)
            return self.get_response(request)
        with ExitStack() as stack:
            transaction = begin("http.server", request.method or "", stack)
            response = self.get_response(request)
            name_request(transaction, request, response.status_code)
            if response.streaming:
                when_closed(response, stack.pop_all().close)
        return response


def name_request(transaction: Transaction, request: HttpRequest, status: int) -> None:
    method = request.method if request.method in METHODS else "OTHER"
    transaction.name = f"{method} {endpoint_label(route_of(request))}"
    transaction.source = "route"
    transaction.set_http_status(status)


def watch_tasks() -> None:
    """Connects Celery's signals. A second call changes nothing."""
    task_prerun.connect(begin_task, dispatch_uid="observability.telemetry.errors.performance")
    task_postrun.connect(end_task, dispatch_uid="observability.telemetry.errors.performance")


def begin_task(task_id: str, task: Task[Any, Any], **_: object) -> None:
    if is_sampled():
        stack = ExitStack()
        transaction = begin("queue.task.celery", task.name, stack)
        transaction.source = "task"
        transaction.set_tag("task_id", task_id)
        running[task_id] = transaction, stack


def end_task(task_id: str, state: str | None = None, **_: object) -> None:
    if task_id in running:
        transaction, stack = running.pop(task_id)
        transaction.set_status(STATUSES.get(state or "", "internal_error"))
        stack.close()


def begin(operation: str, name: str, stack: ExitStack) -> Transaction:
    """Returns a started transaction. It ends, and gets its spans, when `stack` is closed."""
    from sentry_sdk import Scope

    trace = current_trace()
    ids: Any = {"trace_id": trace.trace_id, "span_id": trace.span_id} if trace else {}
    # A scope of its own: a streamed body may end in another thread, and must not leave anything in this
    # one's.
    started = Scope().start_transaction(
        op=operation,
        name=name,
        sampled=True,
        origin="manual.amani",
        **ids,
    )
    transaction = cast("Transaction", started)  # anything else only in streaming mode
    transaction.sample_rate = settings.SENTRY_TRACES_SAMPLE_RATE
    if current_request_id():
        transaction.set_tag("request_id", current_request_id())
    stack.enter_context(transaction)
    stack.callback(add_spans, transaction)
    return transaction


def add_spans(transaction: Transaction) -> None:
    to_clock = time.time() - perf_counter()
    for crumb in trail.leading_here():
        if crumb.kind in OPERATIONS:
            add_span(transaction, crumb, to_clock)


def add_span(transaction: Transaction, crumb: Crumb, to_clock: float) -> None:
    began = crumb.at + to_clock
    span = transaction.start_child(
        op=OPERATIONS[crumb.kind],
        name=crumb.message,
        start_timestamp=datetime.fromtimestamp(began, UTC),
        origin="manual.amani",
    )
    for name, value in crumb.data.items():
        span.set_data(name, value)
    span.finish(end_timestamp=datetime.fromtimestamp(began + crumb.data["duration_ms"] / 1000, UTC))
