"""A Celery application with the tasks that the process tests need, wired as amani/celery.py is."""

import time
from pathlib import Path

from celery import Celery
from celery.signals import setup_logging
from django.db import connection

from core.request_id import current_request_id
from observability.telemetry import celery_signals
from observability.tests import patient_exit  # noqa: F401  (how long an end may take)

app = Celery("sample", set_as_current=False)
app.config_from_object("django.conf:settings", namespace="CELERY")
app.steps["worker"].add(celery_signals.KeepMetricsServer)


@setup_logging.connect
def keep_django_logging(**_: object) -> None:
    """As amani/celery.py does."""


@app.task(name="sample.touch")
def touch() -> None:
    """Does nothing."""


@app.task(name="sample.fail")
def fail() -> None:
    raise ValueError("broken on purpose")


@app.task(name="sample.write_request_id")
def write_request_id(path: str) -> None:
    part = Path(path).with_suffix(".part")
    part.write_text(current_request_id())
    part.rename(path)


@app.task(name="sample.hold_connection", acks_late=False)
def hold_connection() -> None:
    connection.ensure_connection()
    time.sleep(60)
