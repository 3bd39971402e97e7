"""The Celery application: `celery -A amani worker`, `celery -A amani beat`."""

import os

from billiard import pool
from celery import Celery
from celery.signals import setup_logging, task_postrun
from django.db import close_old_connections
from kombu.transport.redis import Channel

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "amani.settings")

app = Celery("amani", task_cls="observability.telemetry.tasks_in_outages:AmaniTask")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

# When Redis dies, kombu puts unacknowledged tasks back while it closes the connection, fails at that
# ("NoneType has no attribute hostname", kombu issue 582) and the worker ends. Tasks only wake a sender, so
# there is nothing to put back.
Channel.do_restore = False

# A child that ends waits until the main process has read what became of its tasks. When another child was
# killed, that count is never complete, and a worker that is told to stop would take 30 seconds to end. Tasks
# are acknowledged at their beginning and have no results, so two looks in 0.2 seconds are enough.
pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT = 2

from observability.telemetry import celery_signals  # noqa: E402, F401  (connects handlers; its modules read the settings)


@setup_logging.connect
def keep_django_logging(**_: object) -> None:
    """Celery's logs go through Django's LOGGING; connecting at all stops Celery's own set-up."""


@task_postrun.connect
def close_broken_connections(**_: object) -> None:
    """Connections are kept between tasks as between requests; here a broken one is found and closed."""
    close_old_connections()
