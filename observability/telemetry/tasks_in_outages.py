"""Ends a Celery task that the database refuses as an outage, without a traceback.

Tasks process rows of the database, and beat starts them again within seconds. So nothing is retried
here, and Sentry gets no event for each of them: DatabaseConnectionIssues and AlertWorkerGone report it.
"""

from __future__ import annotations

from typing import Any

import structlog
from celery.exceptions import Ignore

from core.sqlstates import Reason, outage_of
from observability.telemetry.traces.tasks import TracedTask

log = structlog.get_logger(__name__)


class EndedByOutage(Ignore):
    """Tells Celery that the task neither succeeded nor failed: Celery logs one line and nothing else."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


class AmaniTask(TracedTask):
    """The application's base class of tasks."""

    abstract = True

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Runs the task. Called by a worker, an outage of the database becomes EndedByOutage."""
        try:
            return self.run(*args, **options)
        except Exception as error:
            outage = outage_of(error)
            if outage is None or self.request.called_directly:
                raise
            log.warning("task_ended_by_outage", task=self.name, reason=outage.reason.value)
            raise EndedByOutage(outage.reason) from error
