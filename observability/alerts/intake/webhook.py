"""POST /api/v1/alerts/webhook: where Alertmanager's alerts arrive.

Answers, chosen for what Alertmanager does with them: 200 only after the commit; 503 for whatever may pass
(it retries 5xx); 400 for what never will (kept as a failed receipt). Never 429 and never a redirect: both
make it drop alerts.
"""

from __future__ import annotations

import hmac

import structlog
from django.conf import settings
from django.db import Error as DatabaseError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from core import bodies
from core.errors import RETRY_AFTER_SECONDS
from core.request_id import current_request_id
from core.sqlstates import outage_of
from observability import metrics
from observability.alerts.delivery import doorbell
from observability.alerts.intake import ingest
from observability.alerts.intake.ingest import Envelope
from observability.alerts.intake.payload import NotAPayload, Payload, read_payload
from observability.models import Heartbeat
from observability.sentry import capture_exception

log = structlog.get_logger(__name__)


class Refused(Exception):
    """The answer for a request that is not taken in."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason


@csrf_exempt
def webhook(request: HttpRequest) -> HttpResponse:
    """Stores the alerts in the body and answers; the worker tells people."""
    try:
        check_method(request)
        check_token(request)
        envelope = Envelope(read_body(request), request.META.get("REMOTE_ADDR", ""), current_request_id())
        return take_in(envelope)
    except Refused as refusal:
        return refuse(refusal)
    except DatabaseError as problem:
        metrics.record_database_outage(problem)
        return refuse(not_stored(problem))


def not_stored(problem: DatabaseError) -> Refused:
    """503 also for a fault of Amani's own, which a new version may mend while Alertmanager tries again; but
    that is reported with its traceback."""
    outage = outage_of(problem)
    if outage is None:
        log.exception("webhook_failed")
        capture_exception(problem)
    else:
        log.warning("webhook_not_stored", error=type(problem).__name__, reason=outage.reason.value)
    return Refused(503, "unavailable", "The database cannot store alerts now. Try again.")


def take_in(envelope: Envelope) -> JsonResponse:
    try:
        payload = read_payload(envelope.body)
    except NotAPayload as problem:
        receipt = ingest.store_failed(problem, envelope)
        log.warning("webhook_not_understood", receipt=receipt.pk, reason=problem.reason)
        raise Refused(400, problem.reason, str(problem)) from problem
    stored = ingest.store(payload, envelope)
    if payload.watchdog_ended and not payload.watchdog_fires:
        Heartbeat.end(Heartbeat.WATCHDOG, timezone.now())
    doorbell.ring_on_commit(stored.channels)
    count(payload)
    return JsonResponse(
        {"receipt": stored.receipt_id, "stored": stored.changed, "set_aside": len(payload.set_aside)}
    )


def count(payload: Payload) -> None:
    firing = sum(alert["status"] == "firing" for alert in payload.alerts)
    metrics.record_alerts_received(firing=firing, resolved=len(payload.alerts) - firing)
    unknown = sum(alert["severity_is_unknown"] for alert in payload.alerts)
    metrics.record_odd_alerts(odd_fields=payload.odd_count, unknown_severity=unknown)
    metrics.record_truncated_alerts(payload.truncated_alerts)
    metrics.record_webhook("partial" if payload.set_aside else "stored")
    if payload.set_aside:
        metrics.record_webhook_rejection("set_aside", len(payload.set_aside))


def check_method(request: HttpRequest) -> None:
    if request.method != "POST":
        raise Refused(405, "not_a_payload", "Use POST.")


def check_token(request: HttpRequest) -> None:
    """Bearer token, compared in constant time with both live tokens."""
    scheme, _, given = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    tokens = [settings.ALERT_WEBHOOK_TOKEN, settings.ALERT_WEBHOOK_TOKEN_PREVIOUS]
    matches = [hmac.compare_digest(given.strip().encode(), token.encode()) for token in tokens if token]
    if scheme.lower() != "bearer" or not any(matches):
        raise Refused(401, "bad_token", "Send the header Authorization: Bearer <ALERT_WEBHOOK_TOKEN>.")


def read_body(request: HttpRequest) -> bytes:
    """The whole body, of at most ALERT_WEBHOOK_MAX_BYTES."""
    if request.META.get("HTTP_CONTENT_ENCODING", "identity") != "identity":
        raise Refused(415, "bad_encoding", "Send the body without Content-Encoding.")
    try:
        return bodies.read_body(request, settings.ALERT_WEBHOOK_MAX_BYTES)
    except bodies.LengthMissing as problem:
        raise Refused(411, "not_a_payload", str(problem)) from problem
    except bodies.BodyTooLong as problem:
        raise Refused(413, "too_large", too_large(problem)) from problem
    except bodies.MalformedBody as problem:
        raise Refused(400, "not_a_payload", str(problem)) from problem
    except bodies.IncompleteBody as problem:
        raise Refused(503, "unavailable", str(problem)) from problem


def too_large(problem: bodies.BodyTooLong) -> str:
    size = f"more than {problem.limit:,}" if problem.length is None else f"{problem.length:,}"
    return (
        f"The body has {size} bytes, the limit is {problem.limit:,}. "
        "Raise ALERT_WEBHOOK_MAX_BYTES or lower max_alerts in alertmanager.yml."
    )


def refuse(refusal: Refused) -> JsonResponse:
    metrics.record_webhook("failed" if refusal.status >= 500 else "rejected")
    metrics.record_webhook_rejection(refusal.reason)
    response = JsonResponse({"code": refusal.reason, "message": str(refusal)}, status=refusal.status)
    if refusal.status == 405:
        response["Allow"] = "POST"
    if refusal.status == 503:
        response["Retry-After"] = str(RETRY_AFTER_SECONDS)
    if refusal.status == 401:
        response["WWW-Authenticate"] = "Bearer"
    return response
