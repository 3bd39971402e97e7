"""The Celery application: `celery -A amani worker`, `celery -A amani beat`."""

import os

from celery import Celery
from celery.signals import setup_logging

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "amani.settings")

app = Celery("amani")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

from observability import celery_signals  # noqa: E402, F401  (connects handlers; its modules read the settings)


@setup_logging.connect
def keep_django_logging(**_: object) -> None:
    """Celery's logs go through Django's LOGGING; connecting at all stops Celery's own set-up."""
