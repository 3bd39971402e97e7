"""Tasks of a test, as an application has them."""

import logging
import os

import requests
from celery import shared_task

from observability.tests import patient_exit  # noqa: F401  (how long an end may take)
from observability.tests.waiting import ANSWER_SECONDS

logger = logging.getLogger(__name__)


@shared_task(name="tests.call_and_fail")
def call_and_fail(groups: int) -> None:
    """Calls the vendor at TEST_VENDOR_URL, then fails."""
    requests.post(os.environ["TEST_VENDOR_URL"], json={"groups": groups}, timeout=ANSWER_SECONDS)
    logger.info("vendor_called")
    raise RuntimeError("This task fails on purpose.")
