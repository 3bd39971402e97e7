"""Makes the response of a webhook for a database error: it is counted, reported, and asks for a retry."""

from __future__ import annotations

from http import HTTPStatus

import structlog
from django.db import Error as DatabaseError

from core.sqlstates import outage_of
from core.webhooks import Refused
from observability.metrics import record_database_outage
from observability.sentry import capture_exception

log = structlog.get_logger(__name__)


def not_stored(error: DatabaseError, *, webhook: str, message: str) -> Refused:
    """Returns the refusal (503). It is also 503 for a fault of Amani, because a new version may fix it before
    the sender gives up.

    An outage of the database leaves a line in the log; a fault leaves its traceback and an event in Sentry.
    `webhook`: the name of its sender, for the log.
    """
    record_database_outage(error)
    outage = outage_of(error)
    if outage is None:
        log.exception("webhook_failed", webhook=webhook)
        capture_exception(error)
    else:
        reason = outage.reason.value
        log.warning("webhook_not_stored", webhook=webhook, error=type(error).__name__, reason=reason)
    return Refused(HTTPStatus.SERVICE_UNAVAILABLE, "unavailable", message)
