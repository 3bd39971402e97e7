"""Writes down how an attempt went and what follows from it."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from observability import metrics
from observability.alerts import pipeline
from observability.models import Attempt, Channel, Delivery
from observability.notifiers import http
from observability.notifiers.base import Delivered, Notifier, Rejected, RetryLater

if TYPE_CHECKING:
    from observability.alerts.delivery.send import Answer

BACKOFF_CAP_SECONDS = 60.0
State = Delivery.State
log = structlog.get_logger(__name__)


def record(delivery: Delivery, notifier: Notifier, answer: Answer) -> None:
    """Appends the attempt and moves the delivery on, if it is still ours."""
    now = timezone.now()
    with transaction.atomic():
        if not still_ours(delivery):
            log.warning("delivery_taken_over_by_another", delivery=delivery.pk)
            return
        state, next_attempt_at = next_state(delivery, answer, now)
        append_attempt(delivery, notifier, answer, now, next_attempt_at)
        settle(delivery, state, reason_for(state, answer), now, next_attempt_at)
        hold_channel(notifier, answer, now)
        pipeline.note_channel_health(notifier.name, delivery, state, answer.outcome)
    outcome = attempt_outcome(answer)
    metrics.record_attempt(notifier.name, outcome, answer.seconds)
    log.info("delivery_attempt", delivery=delivery.pk, channel=notifier.name, outcome=outcome, state=state)


def finish_unsent(delivery: Delivery, notifier: Notifier, state: State, reason: str) -> None:
    """Ends a delivery that needs no attempt. The claim counted one and took a slot: both are given back."""
    with transaction.atomic():
        if not still_ours(delivery):
            return
        delivery.attempt_count -= 1
        Delivery.objects.filter(pk=delivery.pk).update(attempt_count=F("attempt_count") - 1)
        settle(delivery, state, reason, timezone.now(), None)
        slot = timedelta(seconds=notifier.pace().interval)
        Channel.objects.filter(pk=notifier.name).update(next_slot_at=F("next_slot_at") - slot)


def still_ours(delivery: Delivery) -> bool:
    """Whether nobody took the delivery over since it was claimed; locks its row."""
    current = Delivery.objects.select_for_update(of=("self",)).filter(pk=delivery.pk).first()
    return (
        current is not None
        and current.state == State.SENDING
        and current.attempt_count == delivery.attempt_count
    )


def next_state(delivery: Delivery, answer: Answer, now: datetime) -> tuple[State, datetime | None]:
    match answer.outcome:
        case Delivered():
            return State.DELIVERED, None
        case Rejected():
            return State.FAILED, None
        case RetryLater(after=after):
            moment = now + timedelta(seconds=max(after or 0.0, backoff(delivery.attempt_count)))
            deadline = delivery.created_at + timedelta(seconds=settings.ALERT_GIVE_UP_AFTER_SECONDS)
            return (State.DEAD, None) if moment > deadline else (State.PENDING, moment)


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


def append_attempt(
    delivery: Delivery, notifier: Notifier, answer: Answer, now: datetime, next_attempt_at: datetime | None
) -> None:
    Attempt.objects.create(
        delivery=delivery,
        number=delivery.attempt_count,
        at=now,
        duration_ms=round(answer.seconds * 1000),
        outcome=attempt_outcome(answer),
        http_status=answer.response.status if answer.response else None,
        response=http.redact(answer.text, notifier.secrets()),
        next_attempt_at=next_attempt_at,
    )


def reason_for(state: State, answer: Answer) -> str:
    match answer.outcome:
        case Delivered():
            return ""
        case Rejected(reason=reason) | RetryLater(reason=reason):
            return f"Given up: {reason}" if state == State.DEAD else reason


def settle(
    delivery: Delivery, state: State, reason: str, now: datetime, next_attempt_at: datetime | None
) -> None:
    """Moves the delivery, and with a finished digest its members, to `state`."""
    finished = state not in Delivery.UNFINISHED
    delivery.state = state
    delivery.reason = reason
    delivery.lease_until = None
    delivery.claim_slot = None
    delivery.next_attempt_at = next_attempt_at or now
    delivery.finished_at = now if finished else None
    delivery.save(
        update_fields=["state", "reason", "lease_until", "claim_slot", "next_attempt_at", "finished_at"]
    )
    if not finished:
        return
    told = [delivery]
    if delivery.kind == Delivery.Kind.DIGEST:
        members = delivery.members.filter(state=State.DIGESTED)
        told = list(members.select_related("episode"))
        members.update(state=state, finished_at=now, reason=f"In digest {delivery.pk}. {reason}".strip())
    transaction.on_commit(lambda: count_finished(told, state, now))


def count_finished(deliveries: list[Delivery], state: State, now: datetime) -> None:
    for delivery in deliveries:
        metrics.record_delivery(delivery.channel, state.value)
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
