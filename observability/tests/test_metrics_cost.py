"""What observability costs a healthy request, in Python calls: a figure that no busy machine can change."""

import cProfile
import gc
import io
import logging
import pstats
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.core.handlers.base import BaseHandler
from django.db import connection
from django.test import RequestFactory

from observability.telemetry.clock import clock
from observability.telemetry.database import time_statement, trace_statement
from observability.telemetry.logs.formatting import AccessHandler, Formatter, access_logger
from observability.telemetry.metrics.slots import take_slot
from observability.telemetry.metrics.storage import store
from observability.tests.recorded import recording

REQUESTS = 100
METRICS = "observability.telemetry.middleware.MetricsMiddleware"
REQUEST_LOG = "observability.telemetry.middleware.RequestLogMiddleware"
TRACING = "observability.telemetry.traces.requests.TracingMiddleware"

pytestmark = [pytest.mark.django_db, pytest.mark.urls("observability.tests.sample_urls")]


@pytest.fixture(autouse=True)
def several_processes(tmp_path: Path) -> Iterator[None]:
    """Values live in files, as under gunicorn."""
    store.attach(take_slot(tmp_path, "web"))
    yield
    store.release()


@contextmanager
def production_logs() -> Iterator[None]:
    """Only Amani's own handler. Not a fixture, because pytest adds its handlers after those."""
    handlers, level, propagate = access_logger.handlers[:], access_logger.level, access_logger.propagate
    handler = AccessHandler(io.TextIOWrapper(io.BytesIO(), line_buffering=True))
    handler.setFormatter(Formatter("json"))
    access_logger.handlers[:], access_logger.propagate = [handler], False
    access_logger.setLevel(logging.INFO)
    yield
    access_logger.handlers[:], access_logger.propagate = handlers, propagate
    access_logger.setLevel(level)


def calls_per_request(settings: Any, *middleware: str) -> float:
    """Calls of a request with one query through Django's handler, which loads `middleware`."""
    settings.MIDDLEWARE = list(middleware)
    handler = BaseHandler()
    handler.load_middleware()
    requests = [RequestFactory().get("/query") for _ in range(REQUESTS + 1)]
    handler.get_response(requests.pop())  # makes the children of this route
    clock.due = float("inf")  # counts once a second, so nothing per request
    profile = cProfile.Profile()
    gc.collect()
    gc.disable()  # what other tests left behind has finalizers, and their calls would be counted
    profile.enable()
    for request in requests:
        handler.get_response(request)
    profile.disable()
    gc.enable()
    clock.due = 0.0
    total: int = pstats.Stats(profile).total_calls  # type: ignore[attr-defined]
    return total / REQUESTS


def test_metrics_add_at_most_70_calls_to_a_request_with_one_query(settings: Any) -> None:
    with connection.cursor() as cursor:  # adds the execute wrapper
        cursor.execute("SELECT 1")
    with_metrics = calls_per_request(settings, METRICS)
    connection.execute_wrappers.remove(time_statement)
    without_metrics = calls_per_request(settings)
    connection.execute_wrappers.append(time_statement)
    print(f"metrics add {with_metrics - without_metrics:.1f} calls")  # noqa: T201  (shown with -rP)
    assert with_metrics - without_metrics <= 70


def test_request_id_and_access_line_add_at_most_50_calls(settings: Any) -> None:
    with production_logs():
        added = calls_per_request(settings, REQUEST_LOG) - calls_per_request(settings)
    print(f"request id and access line add {added:.1f} calls")  # noqa: T201
    assert added <= 50


def test_all_signals_add_at_most_200_calls_when_a_tenth_of_the_requests_is_traced(settings: Any) -> None:
    settings.TRACING_ENABLED = True
    with connection.cursor() as cursor:  # adds the execute wrapper
        cursor.execute("SELECT 1")
    connection.execute_wrappers.remove(time_statement)
    bare = calls_per_request(settings)
    connection.execute_wrappers.append(trace_statement)
    added = {}
    for rate in (0.0, 1.0):
        with production_logs(), recording(rate):
            added[rate] = calls_per_request(settings, REQUEST_LOG, TRACING, METRICS) - bare
    connection.execute_wrappers[:] = [time_statement]
    at_a_tenth = 0.9 * added[0.0] + 0.1 * added[1.0]
    print(f"{bare:.0f} bare; added {at_a_tenth:.1f}: {added[0.0]:.1f} not sampled, {added[1.0]:.1f} sampled")  # noqa: T201
    assert at_a_tenth <= 200
