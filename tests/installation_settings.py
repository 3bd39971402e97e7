"""Amani's own settings for the processes that tests start: a faster sign of life, and a test's own tasks."""

from datetime import timedelta

from amani.settings import *  # noqa: F403
from amani.settings import CELERY_BEAT_SCHEDULE

ROOT_URLCONF = "tests.installation_urls"
CELERY_BEAT_SCHEDULE["watch-pipeline"]["schedule"] = timedelta(seconds=1)
CELERY_IMPORTS = ["tests.installation_tasks", "tests.leaky"]
