"""Starts and stops the telemetry of a process: its slot for metrics, its traces, its error reports."""

import atexit
import sys
import threading
import time
from pathlib import Path
from traceback import format_exception
from types import TracebackType

import structlog
from django.conf import settings

from core.scrubbing import scrub_text
from observability import sentry, tracing
from observability.metrics import process_cpu_seconds
from observability.telemetry.clock import clock
from observability.telemetry.metrics.server import metrics_server
from observability.telemetry.metrics.slots import take_slot
from observability.telemetry.metrics.storage import store

log = structlog.get_logger(__name__)

# How long a process waits at its end to send spans and errors, also when their server is down. Celery itself
# needs two seconds to end, and a supervisor may give the whole worker three.
EXIT_SECONDS = 0.8
# The kinds whose main process serves the metrics of its container if METRICS_BIND is set. Web always does.
SERVED = ("worker-main", "beat")


def take_metrics_slot(kind: str) -> None:
    """Takes a metrics slot for this process. `kind`: `web`, `worker`, `worker-main`, `beat` or `command`.

    Without PROMETHEUS_MULTIPROC_DIR the metrics stay in this process. If the disk is full or read-only, the
    process runs without exported metrics and logs `metrics_not_exported`.
    """
    if not settings.PROMETHEUS_MULTIPROC_DIR:
        return
    try:
        slot = take_slot(Path(settings.PROMETHEUS_MULTIPROC_DIR), kind)
        store.attach(slot)
    except OSError:
        store.release()
        log.exception("metrics_not_exported", directory=settings.PROMETHEUS_MULTIPROC_DIR)
        return
    clock.counter = process_cpu_seconds.get(slot.role)
    clock.count()


def start(kind: str) -> None:
    """Starts metrics, traces and error reports of this process. Call it after a fork.

    `kind`: `web`, `worker`, `worker-main`, `beat` or `command`.
    """
    take_metrics_slot(kind)
    if kind in SERVED:
        metrics_server.start()  # before there is a thread
    sys.excepthook, threading.excepthook = print_unhandled, print_unhandled_of_thread
    if kind != "worker-main":  # it runs no task, and its children must not inherit a thread
        tracing.start(kind)
    sentry.start(kind)
    atexit.register(stop)


def print_unhandled(
    _kind: type[BaseException], exception: BaseException, _traceback: TracebackType | None
) -> None:
    """Prints an unhandled exception as Python does, without the secrets in it."""
    sys.stderr.write(scrub_text("".join(format_exception(exception))))


def print_unhandled_of_thread(died: threading.ExceptHookArgs) -> None:
    if died.exc_value is not None and not isinstance(died.exc_value, SystemExit):
        print_unhandled(died.exc_type, died.exc_value, died.exc_traceback)


def stop() -> None:
    """Sends the spans and errors that wait, both at the same time, within EXIT_SECONDS."""
    atexit.unregister(stop)
    until = time.monotonic() + EXIT_SECONDS
    tracing.begin_to_stop()
    sentry.stop(EXIT_SECONDS)
    tracing.stop(max(until - time.monotonic(), 0.0))
