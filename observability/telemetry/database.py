"""What is done around each statement and connection: measuring them, and dropping those that refuse.

Metrics are the time of each statement, and the connections that are open. An execute wrapper sees every
statement, also those of `QuerySet.iterator()` through a server-side cursor, and connections are counted from
the driver's own objects, since a pool's checkouts are not new ones.

A session keeps what was true of the server when it began: whether it may write, and that it may stay. One
on which a statement was refused for such a reason (core/sqlstates.py) is closed at once, so that
whatever comes next in this thread has a new one.
"""

import os
import weakref
from collections.abc import Callable
from threading import Lock
from time import monotonic, perf_counter, time_ns
from typing import Any

from django.db import Error as DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from opentelemetry.trace import get_current_span
from prometheus_client import Histogram
from psycopg import Connection

from core.request_id import request_id
from core.sqlstates import outage_of
from observability import tracing
from observability.metrics import db_connections_active, query_durations
from observability.telemetry.clock import clock
from observability.telemetry.errors.trail import SIZE, trail
from observability.telemetry.traces.current import exemplar
from observability.telemetry.traces.statements import add_statement_span

other_durations = query_durations["OTHER"]


class OpenConnections:
    """The driver's connections that are open in this process, and the gauge that shows how many they are."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """A forked child does not use its parent's connections, nor a lock that its parent may hold."""
        self.lock = Lock()
        self.connections: weakref.WeakSet[Connection[Any]] = weakref.WeakSet()

    def add(self, connection: Connection[Any]) -> None:
        self.connections.add(connection)
        self.show()

    def discard(self, connection: Connection[Any]) -> None:
        self.connections.discard(connection)
        self.show()

    def show(self) -> None:
        """Sets the gauge. No finalizer calls it, since none may change a metric (see metrics/storage.py): a
        connection that was garbage collected is missing in the set, and within a second in the gauge."""
        with self.lock:
            db_connections_active.set(len(self.connections))


open_connections = OpenConnections()
os.register_at_fork(after_in_child=open_connections.restart)
clock.each_second.append(open_connections.show)


def connect() -> None:
    """Starts measuring; called once when Django is ready."""
    connection_created.connect(measure_connection, dispatch_uid="observability.telemetry.database")


def measure_connection(connection: BaseDatabaseWrapper, **_: object) -> None:
    wrapper = trace_statement if tracing.is_on() else time_statement
    if wrapper not in connection.execute_wrappers:
        connection.execute_wrappers.append(wrapper)
    driver_connection = connection.connection
    if not isinstance(driver_connection, Connection):
        return
    if driver_connection not in open_connections.connections:
        count_connection(driver_connection)
    if refuses_writes(driver_connection):
        # For this request or task only, as with CONN_MAX_AGE=0: the next one looks again.
        connection.close_at = monotonic()


def refuses_writes(connection: Connection[Any]) -> bool:
    """Whether the server said so when the session began. Before version 14 it says nothing."""
    status = connection.info.parameter_status
    return "on" in {status("default_transaction_read_only"), status("in_hot_standby")}


def drop_if_refused(connection: BaseDatabaseWrapper, error: BaseException) -> None:
    """Closes `connection` when `error` says that it will go on refusing. Inside a transaction Django does
    without it until the outermost block has ended."""
    outage = outage_of(error)
    if outage is not None and outage.ends_connection:
        connection.close()


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
    except DatabaseError as error:
        drop_if_refused(context["connection"], error)
        raise
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
    if not get_current_span().is_recording():
        return time_statement(execute, sql, params, many, context)
    started_ns, started = time_ns(), perf_counter()
    problem: BaseException | None = None
    try:
        return execute(sql, params, many, context)
    except BaseException as exception:
        problem = exception
        if isinstance(exception, DatabaseError):
            drop_if_refused(context["connection"], exception)
        raise
    finally:
        seconds = perf_counter() - started
        trail.statements[trail.count % SIZE] = (sql, started, seconds)
        trail.count += 1
        span = add_statement_span(sql, context["connection"], started_ns, seconds, problem)
        histogram = query_durations.get(sql[:6]) if type(sql) is str else None
        if histogram is None:
            histogram = durations_of(sql)
        histogram.observe(seconds, exemplar(f"{span.trace_id:032x}", request_id.get()))


def durations_of(sql: object) -> Histogram:
    """The histogram of a statement that doesn't plainly begin with its verb."""
    if isinstance(sql, bytes):
        sql = sql.decode(errors="replace")
    if not isinstance(sql, str):
        return other_durations
    return query_durations.get(sql.lstrip("( \t\r\n")[:6].upper(), other_durations)


def count_connection(connection: Connection[Any]) -> None:
    """Counts `connection` until it is closed or garbage collected, whichever comes first.

    With a pool this runs again at each checkout; a spare connection of a pool counts from its first use.
    """
    open_connections.add(connection)
    reference = weakref.ref(connection)  # a strong one would keep the connection alive in a cycle

    def close() -> None:
        closing = reference()
        if closing is None:
            return
        try:
            type(closing).close(closing)
        finally:
            open_connections.discard(closing)

    connection.close = close  # type: ignore[method-assign]  # psycopg has no hook for it
