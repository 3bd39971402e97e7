"""Amani's own settings for the processes that tests start: a faster sign of life, and a test's own tasks."""

import os
from datetime import timedelta

from amani.settings import *  # noqa: F403
from amani.settings import CELERY_BEAT_SCHEDULE, STORAGES

ROOT_URLCONF = "tests.installation_urls"
CELERY_BEAT_SCHEDULE["watch-pipeline"]["schedule"] = timedelta(seconds=1)
CELERY_BEAT_SCHEDULE["accounts-send-mails"]["schedule"] = timedelta(seconds=1)
CELERY_BEAT_SCHEDULE["kyc-run-checks"]["schedule"] = timedelta(seconds=1)
CELERY_IMPORTS = ["tests.installation_tasks", "tests.leaky"]
if "STATIC_ROOT" not in os.environ:  # then nothing was collected, and pages name files as they are
    STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
