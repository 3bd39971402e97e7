"""Metrics of the database: the time of each statement, and the connections that are really open.

django-prometheus wraps the cursor class: it misses what `QuerySet.iterator()` reads through a server-side
cursor, and takes a pool's checkouts for new connections. An execute wrapper sees every statement, and
connections are counted from the driver's own objects.
"""

import os
import weakref
from collections.abc import Callable
from time import perf_counter, time_ns
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from opentelemetry.trace import get_current_span
from psycopg import Connection

from observability import tracing
from observability.metrics import db_connections_active, query_durations
from observability.request_id import request_id
from observability.spans.current import exemplar
from observability.spans.statements import add_statement_span
from observability.trail import SIZE, trail
from observability.values import Histogram

other_durations = query_durations["OTHER"]
counted_connections: weakref.WeakSet[Connection[Any]] = weakref.WeakSet()


def connect() -> None:
    """Starts measuring; called once when Django is ready."""
    connection_created.connect(measure_connection, dispatch_uid="observability.database")


def measure_connection(connection: BaseDatabaseWrapper, **_: object) -> None:
    wrapper = trace_statement if tracing.is_on() else time_statement
    if wrapper not in connection.execute_wrappers:
        connection.execute_wrappers.append(wrapper)
    driver_connection = connection.connection
    if isinstance(driver_connection, Connection) and driver_connection not in counted_connections:
        count_connection(driver_connection)


def time_statement(
    execute: Callable[..., Any],
    sql: Any,
    params: Any,
    many: bool,  # noqa: FBT001  (Django's signature)
    context: Any,
) -> Any:
    started = perf_counter()
    try:
        return execute(sql, params, many, context)
    finally:
        seconds = perf_counter() - started
        trail.statements[trail.count % SIZE] = (sql, started, seconds)
        trail.count += 1
        histogram = query_durations.get(sql[:6]) if type(sql) is str else None
        if histogram is None:
            histogram = durations_of(sql)
        histogram.observe(seconds)


def trace_statement(
    execute: Callable[..., Any],
    sql: Any,
    params: Any,
    many: bool,  # noqa: FBT001  (Django's signature)
    context: Any,
) -> Any:
    """`time_statement` with tracing on: a span and an exemplar, where the request or task is sampled."""
    if trail.untraced:
        return time_statement(execute, sql, params, many, context)
    parent = get_current_span()
    if not parent.is_recording():
        return time_statement(execute, sql, params, many, context)
    started_ns, started = time_ns(), perf_counter()
    problem: BaseException | None = None
    try:
        return execute(sql, params, many, context)
    except BaseException as exception:
        problem = exception
        raise
    finally:
        seconds = perf_counter() - started
        trail.statements[trail.count % SIZE] = (sql, started, seconds)
        trail.count += 1
        span = add_statement_span(parent, sql, context["connection"], started_ns, seconds, problem)
        durations_of(sql).observe(seconds, exemplar(f"{span.trace_id:032x}", request_id.get()))


def durations_of(sql: object) -> Histogram:
    """The histogram of a statement that doesn't plainly begin with its verb."""
    if isinstance(sql, bytes):
        sql = sql.decode(errors="replace")
    if not isinstance(sql, str):
        return other_durations
    return query_durations.get(sql.lstrip("( \t\r\n")[:6].upper(), other_durations)


def count_connection(connection: Connection[Any]) -> None:
    """Counts `connection` until it is closed or garbage collected, whichever comes first.

    With a pool this runs again at each checkout, which `counted_connections` keeps from counting twice; a
    spare connection of a pool counts from its first use.
    """
    counted_connections.add(connection)
    db_connections_active.inc()
    uncount = weakref.finalize(connection, forget_connection, os.getpid())
    uncount.atexit = False
    reference = weakref.ref(connection)  # a strong one would keep the connection alive in a cycle

    def close() -> None:
        closing = reference()
        try:
            if closing is not None:
                type(closing).close(closing)
        finally:
            uncount()

    connection.close = close  # type: ignore[method-assign]  # psycopg has no hook for it


def forget_connection(process_id: int) -> None:
    """A forked child drops connections that its parent counted."""
    if os.getpid() == process_id:
        db_connections_active.dec()
