"""Writes down how an attempt went and what follows from it."""

from __future__ import annotations

import random
from contextlib import nullcontext
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import structlog
from django.conf import settings
from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from observability import metrics
from observability.alerts import pipeline
from observability.models import Attempt, Channel, Delivery
from observability.notifiers import http
from observability.notifiers.base import Delivered, Notifier, Rejected, RetryLater
from observability.telemetry.traces.current import current_exemplar

if TYPE_CHECKING:
    from observability.alerts.delivery.send import Answer

BACKOFF_CAP_SECONDS = 60.0
State = Delivery.State
log = structlog.get_logger(__name__)


# The attempt and what follows from it, if nobody took the delivery over since it was claimed.
RECORD = """
WITH mine AS (
    UPDATE observability_delivery
    SET state = %(state)s, reason = %(reason)s, lease_until = NULL, claim_slot = NULL,
        next_attempt_at = coalesce(%(next_attempt_at)s, %(now)s), finished_at = %(finished_at)s
    WHERE id = %(id)s AND state = 'sending' AND attempt_count = %(number)s
    RETURNING id
), tried AS (
    INSERT INTO observability_attempt
        (delivery_id, number, at, duration_ms, outcome, http_status, response, next_attempt_at)
    SELECT id, %(number)s, %(now)s, %(duration_ms)s, %(outcome)s, %(http_status)s, %(response)s,
           %(next_attempt_at)s
    FROM mine
)
SELECT EXISTS (SELECT FROM mine),
       EXISTS (SELECT FROM observability_channel WHERE name = %(channel)s AND flagged_at IS NOT NULL)
"""


def record(delivery: Delivery, notifier: Notifier, answer: Answer) -> None:
    """Appends the attempt and moves the delivery on, if it is still ours."""
    now = timezone.now()
    delivery.state, next_attempt_at = next_state(delivery, answer, now)
    delivery.reason = reason_for(delivery.state, answer)
    outcome = attempt_outcome(answer)
    with nullcontext() if is_one_statement(delivery, answer) else transaction.atomic():
        is_ours, is_flagged = write_down(delivery, notifier, answer, outcome, now, next_attempt_at)
        if not is_ours:
            log.warning("delivery_taken_over_by_another", delivery=delivery.pk)
            return
        told = finish_members(delivery, now)
        hold_channel(notifier, answer, now)
        if is_flagged or not isinstance(answer.outcome, Delivered):
            with transaction.atomic():
                pipeline.note_channel_health(notifier.name, delivery, answer.outcome)
    metrics.record_attempt(notifier.name, outcome, answer.seconds, current_exemplar())
    count_finished(told, delivery.state, now)
    log.info(
        "delivery_attempt",
        delivery=delivery.pk,
        channel=notifier.name,
        outcome=outcome,
        state=delivery.state,
    )


def is_one_statement(delivery: Delivery, answer: Answer) -> bool:
    """Whether RECORD is all there is to write, and so a transaction by itself: BEGIN and COMMIT cost as much.

    A flag that could not be cleared after it is found again, and cleared, by the next delivery.
    """
    return isinstance(answer.outcome, Delivered) and delivery.kind != Delivery.Kind.DIGEST


def write_down(
    delivery: Delivery,
    notifier: Notifier,
    answer: Answer,
    outcome: str,
    now: datetime,
    next_attempt_at: datetime | None,
) -> tuple[bool, bool]:
    """Whether the delivery was still ours, and whether its channel is flagged."""
    with connection.cursor() as cursor:
        cursor.execute(
            RECORD,
            {
                "id": delivery.pk,
                "channel": notifier.name,
                "state": delivery.state,
                "reason": delivery.reason,
                "now": now,
                "finished_at": None if delivery.state in Delivery.UNFINISHED else now,
                "number": delivery.attempt_count,
                "duration_ms": round(answer.seconds * 1000),
                "outcome": outcome,
                "http_status": answer.response.status if answer.response else None,
                "response": http.redact(answer.text, notifier.secrets()),
                "next_attempt_at": next_attempt_at,
            },
        )
        is_ours, is_flagged = cursor.fetchone()
    return is_ours, is_flagged


def finish_unsent(delivery: Delivery, notifier: Notifier, state: State, reason: str) -> None:
    """Ends a delivery that needs no attempt. The claim counted one and took a slot: both are given back."""
    now = timezone.now()
    claimed = Delivery.objects.filter(
        pk=delivery.pk, state=State.SENDING, attempt_count=delivery.attempt_count
    )
    with transaction.atomic():
        is_ours = claimed.update(
            state=state,
            reason=reason,
            attempt_count=F("attempt_count") - 1,
            lease_until=None,
            claim_slot=None,
            finished_at=now,
        )
        if not is_ours:
            return
        delivery.state, delivery.reason = state, reason
        told = finish_members(delivery, now)
        slot = timedelta(seconds=notifier.pace().interval)
        Channel.objects.filter(pk=notifier.name).update(next_slot_at=F("next_slot_at") - slot)
    count_finished(told, state, now)


def finish_members(delivery: Delivery, now: datetime) -> list[Delivery]:
    """The deliveries that ended: none yet, this one, or the members of this digest, which end with it."""
    if delivery.state in Delivery.UNFINISHED:
        return []
    if delivery.kind != Delivery.Kind.DIGEST:
        return [delivery]
    members = delivery.members.filter(state=State.DIGESTED)
    told = list(members.select_related("episode"))
    reason = f"In digest {delivery.pk}. {delivery.reason}".strip()
    members.update(state=delivery.state, finished_at=now, reason=reason)
    return told


def next_state(delivery: Delivery, answer: Answer, now: datetime) -> tuple[str, datetime | None]:
    """The delivery's next state, and when it is to be tried again if it is."""
    match answer.outcome:
        case Delivered():
            return State.DELIVERED.value, None
        case Rejected():
            return State.FAILED.value, None
        case RetryLater(after=after):
            moment = now + timedelta(seconds=max(after or 0.0, backoff(delivery.attempt_count)))
            deadline = delivery.created_at + timedelta(seconds=settings.ALERT_GIVE_UP_AFTER_SECONDS)
            return (State.DEAD.value, None) if moment > deadline else (State.PENDING.value, moment)


def backoff(attempts: int) -> float:
    """1, 2, 4 … 60 seconds, each 50 to 100 % of that: what failed together shall not return together."""
    longest: float = min(BACKOFF_CAP_SECONDS, 2.0 ** min(attempts - 1, 10))
    return longest * random.uniform(0.5, 1.0)  # noqa: S311  (jitter, not a secret)


def attempt_outcome(answer: Answer) -> str:
    match answer.outcome:
        case Delivered():
            return Attempt.Outcome.DELIVERED.value
        case Rejected():
            return Attempt.Outcome.REJECTED.value
        case RetryLater():
            return Attempt.Outcome.UNKNOWN.value if answer.unknown else Attempt.Outcome.RETRY.value


def reason_for(state: str, answer: Answer) -> str:
    match answer.outcome:
        case Delivered():
            return ""
        case Rejected(reason=reason) | RetryLater(reason=reason):
            return f"Given up: {reason}" if state == State.DEAD else reason


def count_finished(deliveries: list[Delivery], state: str, now: datetime) -> None:
    for delivery in deliveries:
        metrics.record_delivery(delivery.channel, state)
        if state == State.DELIVERED and delivery.kind == Delivery.Kind.TRIGGER and delivery.episode:
            metrics.record_delivery_latency(
                delivery.channel,
                since_start=max((now - delivery.episode.starts_at).total_seconds(), 0.0),
                since_intake=max((now - delivery.created_at).total_seconds(), 0.0),
            )


def hold_channel(notifier: Notifier, answer: Answer, now: datetime) -> None:
    """Retry-After speaks for the whole channel: nothing leaves before."""
    if isinstance(answer.outcome, RetryLater) and answer.outcome.after is not None:
        pace = notifier.pace()
        pause = answer.outcome.after + pace.interval * (pace.burst - 1)  # no burst into a pause
        Channel.objects.filter(pk=notifier.name).update(next_slot_at=now + timedelta(seconds=pause))
