"""Receives Alertmanager's alerts: POST /api/v1/alerts/webhook.

Each status is chosen for what Alertmanager does next: 200 only after the commit; 503 when a retry may succeed
(it retries 5xx); 400 when it cannot (the body is kept as a failed receipt). Never a redirect, and never 429
to a sender with the right token: Alertmanager drops alerts on both.
"""

from __future__ import annotations

import hmac
from http import HTTPStatus

import structlog
from django.conf import settings
from django.db import Error as DatabaseError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from core import bodies
from core.request_id import current_request_id
from core.webhooks import Refused, read_body, require_post, with_headers
from core.wrong_tokens import WrongTokens
from observability import metrics
from observability.alerts.delivery import outbox
from observability.alerts.intake import ingest
from observability.alerts.intake.ingest import Envelope
from observability.alerts.intake.payload import NotAPayload, Payload, read_payload
from observability.models import Heartbeat
from observability.webhooks import not_stored

log = structlog.get_logger(__name__)

MOST_WRONG_TOKENS = 30  # a minute, from one source, in one process
wrong_tokens = WrongTokens(MOST_WRONG_TOKENS)

# A code of core/webhooks.py -> the reason in amani_alert_webhook_rejections_total, where they differ.
REASONS = {
    "method_not_allowed": "not_a_payload",
    "length_required": "not_a_payload",
    "malformed": "not_a_payload",
}


@csrf_exempt
def webhook(request: HttpRequest) -> HttpResponse:
    """Stores the alerts in the body and answers. The worker sends the notifications."""
    try:
        require_post(request)
        check_token(request)
        envelope = Envelope(body_of(request), request.META.get("REMOTE_ADDR", ""), current_request_id())
        return store_payload(envelope)
    except Refused as refusal:
        return refuse(refusal)
    except DatabaseError as problem:
        message = "The database cannot store alerts now. Try again."
        return refuse(not_stored(problem, webhook="alerts", message=message))


def store_payload(envelope: Envelope) -> JsonResponse:
    """Stores the body and wakes the worker. Raises Refused (400) for one that is not a payload."""
    try:
        payload = read_payload(envelope.body)
    except NotAPayload as problem:
        receipt = ingest.store_failed(problem, envelope)
        log.warning("webhook_parse_failed", receipt=receipt.pk, reason=problem.reason)
        raise Refused(HTTPStatus.BAD_REQUEST, problem.reason, str(problem)) from problem
    stored = ingest.store(payload, envelope)
    if payload.watchdog_ended and not payload.watchdog_fires:
        Heartbeat.end(Heartbeat.WATCHDOG, timezone.now())
    outbox.ring_on_commit(stored.channels)
    count(payload)
    return JsonResponse(
        {"receipt": stored.receipt_id, "stored": stored.changed, "set_aside": len(payload.set_aside)}
    )


def count(payload: Payload) -> None:
    """Counts the request and its alerts in the metrics."""
    firing = sum(alert["status"] == "firing" for alert in payload.alerts)
    metrics.record_alerts_received(firing=firing, resolved=len(payload.alerts) - firing)
    unknown = sum(alert["severity_is_unknown"] for alert in payload.alerts)
    metrics.record_odd_alerts(odd_fields=payload.odd_count, unknown_severity=unknown)
    metrics.record_truncated_alerts(payload.truncated_alerts)
    metrics.record_webhook("partial" if payload.set_aside else "stored")
    if payload.set_aside:
        metrics.record_webhook_rejection("set_aside", len(payload.set_aside))


def check_token(request: HttpRequest) -> None:
    """Compares the bearer token with both valid tokens in constant time.

    Raises Refused: 401, and 429 for a source that sent many wrong ones. A right token is never refused.
    """
    scheme, _, given = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    tokens = [settings.ALERT_WEBHOOK_TOKEN, settings.ALERT_WEBHOOK_TOKEN_PREVIOUS]
    matches = [hmac.compare_digest(given.strip().encode(), token.encode()) for token in tokens if token]
    if scheme.lower() != "bearer" or not any(matches):
        if wrong_tokens.are_too_many(request):
            message = "Too many wrong tokens from this address. Wait a minute, then send the right one."
            raise Refused(HTTPStatus.TOO_MANY_REQUESTS, "bad_token", message)
        raise Refused(
            HTTPStatus.UNAUTHORIZED,
            "bad_token",
            "Send the header Authorization: Bearer <ALERT_WEBHOOK_TOKEN>.",
        )
    bodies.trust_sender(request)


def body_of(request: HttpRequest) -> bytes:
    """Returns the whole body, of at most ALERT_WEBHOOK_MAX_BYTES. Raises Refused."""
    if request.META.get("HTTP_CONTENT_ENCODING", "identity") != "identity":
        message = "Send the body without Content-Encoding."
        raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "bad_encoding", message)
    return read_body(request, settings.ALERT_WEBHOOK_MAX_BYTES, too_large)


def too_large(problem: bodies.BodyTooLong) -> str:
    """Returns the message for a body that is too large."""
    size = f"more than {problem.limit:,}" if problem.length is None else f"{problem.length:,}"
    return (
        f"The body has {size} bytes, the limit is {problem.limit:,}. "
        "Raise ALERT_WEBHOOK_MAX_BYTES or lower max_alerts in alertmanager.yml."
    )


def refuse(refusal: Refused) -> JsonResponse:
    """Counts the refusal and returns its response."""
    reason = REASONS.get(refusal.code, refusal.code)
    metrics.record_webhook("failed" if refusal.status >= HTTPStatus.INTERNAL_SERVER_ERROR else "rejected")
    metrics.record_webhook_rejection(reason)
    response = JsonResponse({"code": reason, "message": str(refusal)}, status=refusal.status)
    if refusal.status == HTTPStatus.UNAUTHORIZED:
        response["WWW-Authenticate"] = "Bearer"
    return with_headers(response, refusal)
