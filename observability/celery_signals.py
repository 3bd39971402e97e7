"""Celery's processes in the metrics and logs: slots, tasks, and the request id that caused a task.

Imported by amani/celery.py for its signal handlers.
"""

from time import perf_counter
from typing import Any

from celery import Task
from celery.signals import (
    beat_embedded_init,
    beat_init,
    before_task_publish,
    task_postrun,
    task_prerun,
    task_received,
    worker_init,
    worker_process_init,
)

from observability.metrics import record_task, show_tasks
from observability.processes import claim, clock
from observability.request_id import current_request_id, request_id

HEADER = "amani_request_id"
# A task that raises Ignore or Reject has ended as its author meant it to.
OUTCOMES = {"SUCCESS": "success", "IGNORED": "success", "REJECTED": "success", "RETRY": "retry"}

started_at: dict[str, float] = {}


@worker_init.connect
def claim_for_main_process(sender: Any = None, **_: object) -> None:
    claim("worker-main")
    if sender is not None:
        show_tasks(name for name in sender.app.tasks if not name.startswith("celery."))


@worker_process_init.connect
def claim_for_pool_child(**_: object) -> None:
    claim("worker")


@beat_init.connect
@beat_embedded_init.connect
def claim_for_beat(**_: object) -> None:
    claim("beat")


@before_task_publish.connect
def send_request_id(headers: dict[str, Any] | None = None, **_: object) -> None:
    clock.count_if_due()  # beat does nothing else
    identifier = current_request_id()
    if headers is not None and identifier:
        headers[HEADER] = identifier


@task_received.connect
def count_main_process(**_: object) -> None:
    clock.count_if_due()


@task_prerun.connect
def begin_task(task_id: str, task: "Task[Any, Any]", **_: object) -> None:
    started_at[task_id] = perf_counter()
    request_id.set(task.request.get(HEADER) or "")


@task_postrun.connect
def end_task(task_id: str, task: "Task[Any, Any]", state: str | None = None, **_: object) -> None:
    now = perf_counter()
    record_task(task.name, OUTCOMES.get(state or "", "failure"), now - started_at.pop(task_id, now))
    clock.count_if_due()
    request_id.set("")
