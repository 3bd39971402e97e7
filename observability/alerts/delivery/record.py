"""Records the result of an attempt and what follows from it, and begins the next delivery of the batch."""

from __future__ import annotations

import random
from contextlib import nullcontext
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from core.outgoing import redact
from observability import metrics
from observability.alerts import pipeline
from observability.alerts.delivery.claim import (
    ALERT_VERSION,
    BEGUN,
    BEGUN_ATTEMPT,
    Reservation,
    begin,
    to_begin,
)
from observability.alerts.delivery.send import AttemptResult, NotSent
from observability.alerts.prepared import preparing_cursor
from observability.models import Attempt, Channel, Delivery
from observability.notifiers.base import Delivered, Notifier, Rejected, RetryLater
from observability.telemetry.traces.current import current_exemplar

BACKOFF_CAP_SECONDS = 60.0
State = Delivery.State
log = structlog.get_logger(__name__)


# mine   the delivery, if no other worker took it over since it was claimed
# tried  its attempt
# begun  the next delivery of the batch: one statement, so one round trip and one wait for the disk
RECORD = f"""
WITH mine AS (
    UPDATE observability_delivery
    SET state = %(state)s, reason = %(reason)s, lease_until = NULL, claim_slot = NULL,
        next_attempt_at = coalesce(%(next_attempt_at)s::timestamptz, %(now)s), finished_at = %(finished_at)s
    WHERE id = %(id)s AND state = 'sending' AND attempt_count = %(number)s
    RETURNING id
), tried AS (
    INSERT INTO observability_attempt
        (delivery_id, number, at, duration_ms, outcome, http_status, response, next_attempt_at)
    SELECT id, %(number)s, %(now)s, %(duration_ms)s, %(outcome)s, %(http_status)s, %(response)s,
           %(next_attempt_at)s::timestamptz
    FROM mine
), {BEGUN}
SELECT EXISTS (SELECT FROM mine),
       EXISTS (SELECT FROM observability_channel WHERE name = %(channel)s AND flagged_at IS NOT NULL),
       {BEGUN_ATTEMPT}, {ALERT_VERSION}
"""  # noqa: S608  (put together from constants; every value is a parameter)


class Recorded(NamedTuple):
    """What RECORD answers. The last two are for `Reservation.begun`."""

    is_ours: bool
    channel_is_flagged: bool
    begun_attempt: int | None
    alert_version: str | None


def record(
    delivery: Delivery,
    notifier: Notifier,
    result: AttemptResult | NotSent,
    following: Reservation | None = None,
) -> Delivery | None:
    """Records what `send` returned, if the delivery is still ours, then begins `following`.

    Returns the delivery that was begun; None without `following`, or when the batch has to be claimed anew.
    """
    if isinstance(result, NotSent):
        finish_unsent(delivery, notifier, result)
        return begin(following)
    if not is_one_statement(delivery, result):
        record_attempt(delivery, notifier, result)
        return begin(following)
    recorded = record_attempt(delivery, notifier, result, following)
    return following.begun(recorded.begun_attempt, recorded.alert_version) if following else None


def is_one_statement(delivery: Delivery, result: AttemptResult) -> bool:
    """Whether RECORD is all there is to write, and so a transaction by itself: BEGIN and COMMIT cost as much.

    A flag that could not be cleared after it is found again, and cleared, by the next delivery.
    """
    return isinstance(result.outcome, Delivered) and delivery.kind != Delivery.Kind.DIGEST


def record_attempt(
    delivery: Delivery, notifier: Notifier, result: AttemptResult, following: Reservation | None = None
) -> Recorded:
    """Appends the attempt and moves the delivery on. Begins `following` in the same statement."""
    now = timezone.now()
    delivery.state, next_attempt_at = next_state(delivery, result, now)
    delivery.reason = reason_for(delivery.state, result)
    with nullcontext() if is_one_statement(delivery, result) else transaction.atomic():
        recorded = write(delivery, notifier, result, now, next_attempt_at, following)
        if not recorded.is_ours:
            log.warning("delivery_taken_over_by_another", delivery=delivery.pk)
            return recorded
        finished = finish_members(delivery, now)
        hold_channel(notifier, result, now)
        if recorded.channel_is_flagged or not isinstance(result.outcome, Delivered):
            with transaction.atomic():
                pipeline.note_channel_health(notifier.name, delivery, result.outcome)
    outcome = attempt_outcome(result)
    metrics.record_attempt(notifier.name, outcome, result.seconds, current_exemplar())
    count_finished(finished, delivery.state, now)
    log.info(
        "delivery_attempt",
        delivery=delivery.pk,
        channel=notifier.name,
        outcome=outcome,
        state=delivery.state,
    )
    return recorded


def write(
    delivery: Delivery,
    notifier: Notifier,
    result: AttemptResult,
    now: datetime,
    next_attempt_at: datetime | None,
    following: Reservation | None,
) -> Recorded:
    """Executes RECORD."""
    parameters: dict[str, Any] = {
        "id": delivery.pk,
        "channel": notifier.name,
        "state": delivery.state,
        "reason": delivery.reason,
        "now": now,
        "finished_at": None if delivery.state in Delivery.UNFINISHED else now,
        "number": delivery.attempt_count,
        "duration_ms": round(result.seconds * 1000),
        "outcome": attempt_outcome(result),
        "http_status": result.response.status if result.response else None,
        "response": redact(result.text, notifier.secrets()),
        "next_attempt_at": next_attempt_at,
    }
    with preparing_cursor() as cursor:
        cursor.execute(RECORD, parameters | to_begin(following))
        return Recorded(*cursor.fetchone())


def finish_unsent(delivery: Delivery, notifier: Notifier, result: NotSent) -> None:
    """Ends a delivery that needs no attempt. The claim counted one and took a slot: both are given back."""
    now = timezone.now()
    claimed = Delivery.objects.filter(
        pk=delivery.pk, state=State.SENDING, attempt_count=delivery.attempt_count
    )
    with transaction.atomic():
        is_ours = claimed.update(
            state=result.state,
            reason=result.reason,
            attempt_count=F("attempt_count") - 1,
            lease_until=None,
            claim_slot=None,
            finished_at=now,
        )
        if not is_ours:
            return
        delivery.state, delivery.reason = result.state, result.reason
        finished = finish_members(delivery, now)
        slot = timedelta(seconds=notifier.pace().interval)
        Channel.objects.filter(pk=notifier.name).update(next_slot_at=F("next_slot_at") - slot)
    count_finished(finished, result.state, now)


def finish_members(delivery: Delivery, now: datetime) -> list[Delivery]:
    """The deliveries that ended: none yet, this one, or the members of this digest, which end with it."""
    if delivery.state in Delivery.UNFINISHED:
        return []
    if delivery.kind != Delivery.Kind.DIGEST:
        return [delivery]
    members = delivery.members.filter(state=State.DIGESTED)
    finished = list(members.select_related("episode"))
    reason = f"In digest {delivery.pk}. {delivery.reason}".strip()
    members.update(state=delivery.state, finished_at=now, reason=reason)
    return finished


def next_state(delivery: Delivery, result: AttemptResult, now: datetime) -> tuple[str, datetime | None]:
    """The delivery's next state, and when it is to be tried again if it is."""
    match result.outcome:
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


def attempt_outcome(result: AttemptResult) -> str:
    match result.outcome:
        case Delivered():
            return Attempt.Outcome.DELIVERED.value
        case Rejected():
            return Attempt.Outcome.REJECTED.value
        case RetryLater():
            return Attempt.Outcome.UNKNOWN.value if result.unknown else Attempt.Outcome.RETRY.value


def reason_for(state: str, result: AttemptResult) -> str:
    match result.outcome:
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


def hold_channel(notifier: Notifier, result: AttemptResult, now: datetime) -> None:
    """Retry-After speaks for the whole channel: nothing leaves before."""
    if isinstance(result.outcome, RetryLater) and result.outcome.after is not None:
        pace = notifier.pace()
        pause = result.outcome.after + pace.interval * (pace.burst - 1)  # no burst into a pause
        Channel.objects.filter(pk=notifier.name).update(next_slot_at=now + timedelta(seconds=pause))
