"""Connects Celery's signals to metrics, logs and traces, and passes the request id on to tasks.

amani/celery.py imports it for its signal handlers.
"""

from time import perf_counter
from typing import Any

from celery import Task, bootsteps
from celery.signals import (
    beat_embedded_init,
    beat_init,
    before_task_publish,
    task_failure,
    task_postrun,
    task_prerun,
    task_received,
    worker_init,
    worker_process_init,
    worker_process_shutdown,
)

from core.request_id import current_request_id, request_id
from observability.metrics import record_beat_heartbeat, record_task, show_tasks
from observability.telemetry import processes
from observability.telemetry.clock import clock
from observability.telemetry.errors.trail import trail
from observability.telemetry.metrics.server import metrics_server
from observability.telemetry.tasks_in_outages import EndedByOutage
from observability.telemetry.traces import tasks as task_spans
from observability.telemetry.traces.current import current_exemplar

HEADER = "amani_request_id"
# A task that raises Ignore or Reject ended as intended.
OUTCOMES = {"SUCCESS": "success", "IGNORED": "success", "REJECTED": "success", "RETRY": "retry"}

started_at: dict[str, float] = {}


@worker_init.connect
def start_main_process(sender: Any = None, **_: object) -> None:
    processes.start("worker-main")
    if sender is not None:
        show_tasks(name for name in sender.app.tasks if not name.startswith("celery."))


class KeepMetricsServer(bootsteps.StartStopStep):
    """Starts the metrics server of a worker again if it died; between two attempts to reach the broker."""

    requires = ("celery.worker.components:Timer",)

    def start(self, parent: Any) -> None:
        parent.timer.call_repeatedly(1.0, metrics_server.keep)


@worker_process_init.connect
def start_pool_child(**_: object) -> None:
    processes.start("worker")


@worker_process_shutdown.connect
def stop_pool_child(**_: object) -> None:
    """Stops telemetry in a child, which ends by os._exit and so runs no atexit handler."""
    processes.stop()


@beat_init.connect
@beat_embedded_init.connect
def start_beat(**_: object) -> None:
    processes.start("beat")
    before_task_publish.connect(show_beat)


def show_beat(**_: object) -> None:
    """Updates beat's heartbeat before each scheduled task; `deliver-due` is scheduled every second."""
    record_beat_heartbeat()


@before_task_publish.connect
def send_request_id(headers: dict[str, Any] | None = None, **_: object) -> None:
    clock.count_if_due()  # beat only publishes tasks
    identifier = current_request_id()
    if headers is None:
        return
    if identifier:
        headers[HEADER] = identifier
    task_spans.send_trace(headers)


@task_received.connect
def count_main_process(**_: object) -> None:
    clock.count_if_due()


@task_prerun.connect
def begin_task(task_id: str, task: "Task[Any, Any]", **_: object) -> None:
    started_at[task_id] = trail.began = perf_counter()
    request_id.set(task.request.get(HEADER) or "")
    task_spans.begin(task_id, task)


@task_failure.connect
def fail_task(task_id: str = "", exception: BaseException | None = None, **_: object) -> None:
    task_spans.fail(task_id, exception)


@task_postrun.connect
def end_task(
    task_id: str, task: "Task[Any, Any]", state: str | None = None, retval: object = None, **_: object
) -> None:
    now = perf_counter()
    outcome = "outage" if isinstance(retval, EndedByOutage) else OUTCOMES.get(state or "", "failure")
    record_task(task.name, outcome, now - started_at.pop(task_id, now), current_exemplar())
    task_spans.end(task_id, state)
    clock.count_if_due()
    request_id.set("")
