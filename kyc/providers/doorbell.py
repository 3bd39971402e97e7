"""Wakes a worker. The rows are the truth: a ring that is lost costs ten seconds, until beat's next sweep."""

from __future__ import annotations

import structlog
from kombu.exceptions import OperationalError

log = structlog.get_logger(__name__)


def ring() -> None:
    """Call it after the commit. Never raises: the request that rings has already done its work."""
    from kyc.tasks import run_checks

    try:
        run_checks.apply_async(expires=60, retry=False)
    except (OperationalError, OSError) as problem:
        log.warning("kyc_doorbell_not_heard", error=type(problem).__name__)
