"""Makes one attempt: decides whether the message is still needed, words it, sends it."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass

import structlog
from django.conf import settings
from django.db.models import Q

from core import outgoing
from core.sqlstates import is_outage
from observability.alerts import endings
from observability.alerts.delivery import digest
from observability.alerts.delivery.facts import facts_of, history_url
from observability.models import Delivery, Episode
from observability.notifiers.base import (
    Kind,
    Message,
    Notifier,
    Outcome,
    OutgoingRequest,
    RetryLater,
    VendorResponse,
)
from observability.sentry import capture_exception

BODY_LIMIT_BYTES = 64 * 1024  # of an answer; no more is read
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """What an attempt came to. `unknown`: the vendor may have taken the message without saying so."""

    outcome: Outcome
    response: VendorResponse | None
    seconds: float
    unknown: bool = False
    text: str = ""


@dataclass(frozen=True, slots=True)
class NotSent:
    """The message is not needed, or its channel is off: the delivery ends in `state` without an attempt."""

    state: Delivery.State
    reason: str


def send(delivery: Delivery, notifier: Notifier) -> AttemptResult | NotSent:
    """Attempts a delivery that was claimed and just read. Writes nothing about it: `record` does.

    Raises only when the database is away: then nothing could be recorded either, and the next holder of the
    sender's slot takes the delivery over.
    """
    if not notifier.is_configured():
        return NotSent(Delivery.State.OFF, f"{notifier.label} is off: its address or key is not set.")
    endings.find_endings(resolved_alerts(delivery))
    reason = reason_not_to_send(delivery, notifier)
    if reason:
        return NotSent(Delivery.State.SUPERSEDED, reason)
    try:
        return attempt(message_for(delivery, notifier), notifier)
    except Exception as problem:
        if is_outage(problem):
            raise
        # One alert for which no message can be made must not stop the others; it is recorded and tried again.
        log.exception("delivery_render_failed", delivery=delivery.pk, channel=delivery.channel)
        capture_exception(problem, context={"delivery": delivery.pk, "channel": delivery.channel})
        failure = RetryLater(after=None, reason=f"Internal error: {type(problem).__name__}.")
        return AttemptResult(failure, None, 0.0, text=failure.reason)


def resolved_alerts(delivery: Delivery) -> list[Episode]:
    """The alerts of which this message says that they are over."""
    if delivery.kind == Delivery.Kind.RESOLVE and delivery.episode is not None:
        return [delivery.episode]
    if delivery.digest_of == Delivery.Kind.RESOLVE:
        return list(Episode.objects.filter(deliveries__in=digest.waiting_members(delivery)))
    return []


def attempt(message: Message, notifier: Notifier) -> AttemptResult:
    """Sends `message` once. Only the vendor's answer and the network's failures decide the outcome."""
    began = time.monotonic()
    try:
        response = post(notifier.request_for(message))
    except outgoing.ConnectFailed as problem:
        failure = RetryLater(after=None, reason=f"No connection: {problem}")
        return AttemptResult(failure, None, time.monotonic() - began, text=failure.reason)
    except outgoing.OutcomeUnknown as problem:
        failure = RetryLater(after=None, reason=f"No answer: {problem}")
        return AttemptResult(failure, None, time.monotonic() - began, unknown=True, text=failure.reason)
    return AttemptResult(
        notifier.meaning_of(response), response, time.monotonic() - began, text=response.body
    )


def post(request: OutgoingRequest) -> VendorResponse:
    """Sends `request` as JSON and returns the answer, whatever its status; a redirect is an answer too.

    Takes NOTIFIER_CONNECT_TIMEOUT and NOTIFIER_READ_TIMEOUT seconds together at most. An answer that is cut
    short after its status is returned as far as it came. Raises ConnectFailed or OutcomeUnknown.
    """
    try:
        body = json.dumps(request.json, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeError as error:
        raise outgoing.ConnectFailed(f"not sent: {type(error).__name__}") from None
    answer = outgoing.send(
        "POST",
        request.url,
        body=body,
        headers={"Content-Type": "application/json; charset=utf-8", **request.headers},
        seconds=settings.NOTIFIER_CONNECT_TIMEOUT + settings.NOTIFIER_READ_TIMEOUT,
        connect_seconds=settings.NOTIFIER_CONNECT_TIMEOUT,
        read_seconds=settings.NOTIFIER_READ_TIMEOUT,
        limit_bytes=BODY_LIMIT_BYTES,
        beginning_is_enough=True,
    )
    return VendorResponse(answer.status, answer.text, answer.headers)


def reason_not_to_send(delivery: Delivery, notifier: Notifier) -> str:
    """Why `delivery`, just read, need not be sent any more; "" when it must. Asked before every attempt."""
    episode = delivery.episode
    if episode is None:
        return "" if digest.waiting_members(delivery).exists() else "None of its alerts is left."
    resolved = episode.status == Episode.Status.RESOLVED
    if delivery.kind == Delivery.Kind.TRIGGER and resolved:
        return "The alert was resolved before it was sent."
    if delivery.kind == Delivery.Kind.ACKNOWLEDGE and resolved:
        return "The alert was resolved before the acknowledgement was sent."
    if delivery.kind == Delivery.Kind.UNCONFIRMED and episode.unconfirmed_at is None:
        return "Its end was confirmed or taken back before this was sent."
    is_update = delivery.kind in {Delivery.Kind.ACKNOWLEDGE, Delivery.Kind.RESOLVE}
    if is_update and notifier.keeps_incidents and not may_have_been_notified(delivery):
        return f"{notifier.label} was never notified of the alert."
    if delivery.kind == Delivery.Kind.RESOLVE and notifier.keeps_incidents and not may_be_closed(delivery):
        return f"The incident stays open: {endings.sentence(episode)} Send this again to close it."
    return ""


def may_be_closed(delivery: Delivery) -> bool:
    """Whether a resolve may close the vendor's incident (ADR 0027). An operator may do it in any case."""
    episode = delivery.episode
    return episode is None or episode.recovered or delivery.resend_of_id is not None


def may_have_been_notified(delivery: Delivery) -> bool:
    """Whether the channel has, or may have, the alert that `delivery` is an update of."""
    notified = Q(state=Delivery.State.DELIVERED) | Q(attempts__outcome__in=["delivered", "unknown"])
    return (
        Delivery.objects.filter(
            notified,
            episode=delivery.episode_id,
            channel=delivery.channel,
            kind=Delivery.Kind.TRIGGER,
            round=delivery.round,
        )
        .exclude(pk=delivery.pk)
        .exists()
    )


def message_for(delivery: Delivery, notifier: Notifier) -> Message:
    if delivery.episode is None:
        return digest.message_of(delivery, notifier)
    kind = Kind(delivery.kind)
    # A channel that keeps incidents has its page, or this resolve would not be sent (reason_not_to_send).
    is_first = kind is Kind.RESOLVE and not notifier.keeps_incidents and not may_have_been_notified(delivery)
    return Message(
        kind=kind,
        alerts=(facts_of(delivery.episode, delivery.unacknowledged_minutes),),
        environment=settings.ENVIRONMENT,
        resolved_before_notified=is_first,
        console_url=history_url(),
    )
