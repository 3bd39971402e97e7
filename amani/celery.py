"""The Celery application: `celery -A amani worker`, `celery -A amani beat`."""

import os
from contextlib import suppress

from billiard import pool
from celery import Celery
from celery.signals import setup_logging, task_postrun, worker_init
from django.db import NotSupportedError, OperationalError, close_old_connections, connection
from django.urls import NoReverseMatch
from kombu.transport.redis import Channel

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "amani.settings")

app = Celery("amani", task_cls="observability.telemetry.tasks_in_outages:AmaniTask")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

# When Redis dies, kombu puts unacknowledged tasks back while it closes the connection, fails at that
# ("NoneType has no attribute hostname", kombu issue 582) and the worker ends. Tasks only start the processing
# of rows in the database, so none has to be put back.
Channel.do_restore = False

# A child that ends waits until the main process has read the outcome of its tasks. If another child was
# killed, that count is never complete, and a stopped worker would take 30 seconds to end. Tasks are
# acknowledged when they start and have no results, so two checks in 0.2 seconds are enough.
pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT = 2

from observability.telemetry import celery_signals  # noqa: E402  (connects handlers; its modules read the settings)

app.steps["worker"].add(celery_signals.KeepMetricsServer)


@setup_logging.connect
def keep_django_logging(**_: object) -> None:
    """Prevents Celery's own log set-up, so that its logs go through Django's LOGGING."""


@worker_init.connect
def refuse_database_without_sessions(**_: object) -> None:
    """Ends a worker that could not send: a sender's slot is a lock of its session. A database that does not
    answer is waited for, as at any other time; a sender asks again."""
    from core.pooling import NoSessions, require_sessions

    try:
        require_sessions("The worker")
    except (NoSessions, NotSupportedError) as problem:  # NotSupportedError: PostgreSQL is too old
        raise SystemExit(str(problem)) from None
    except OperationalError:
        pass
    finally:
        connection.close()  # the children must not inherit it


@worker_init.connect
def load_addresses(**_: object) -> None:
    """Reads all URLs before the children are forked: each child's first message waited 50 ms for that.

    Reading them is not necessary, so a worker starts without addresses that it does not have.
    """
    from observability.alerts.delivery.facts import episode_path, history_path

    with suppress(NoReverseMatch):
        episode_path()
        history_path()


@task_postrun.connect
def close_broken_connections(**_: object) -> None:
    """Closes broken database connections after a task; working ones are kept, as between requests."""
    close_old_connections()
