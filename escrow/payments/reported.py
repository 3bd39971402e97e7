"""What becomes of the webhooks that an attempt processed: done, or tried again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial

from django.db import transaction
from django.utils import timezone

from core.outcomes import RetryLater
from escrow import metrics
from escrow.models.payments import PaymentEvent
from escrow.payments.calls import Outcome
from escrow.payments.claim import next_look


def finish_events(event_ids: Sequence[int], outcome: Outcome) -> None:
    """The webhooks are processed once the provider has answered; without an answer they are tried again."""
    now = timezone.now()
    pending = PaymentEvent.objects.filter(pk__in=event_ids, state=PaymentEvent.State.PENDING)
    for event in pending.select_for_update().order_by("pk"):
        if isinstance(outcome, RetryLater):
            try_again(event, now, outcome)
        else:
            finish(event, now)


def try_again(event: PaymentEvent, now: datetime, outcome: RetryLater) -> None:
    event.attempt_count += 1
    event.reason = outcome.reason
    event.next_attempt_at = next_look(event.received_at, now, outcome.after)
    event.save(update_fields=["attempt_count", "reason", "next_attempt_at"])


def finish(event: PaymentEvent, now: datetime) -> None:
    event.state, event.reason = PaymentEvent.State.DONE, ""
    event.attempt_count += 1
    event.next_attempt_at, event.processed_at = None, now
    event.save(update_fields=["state", "reason", "attempt_count", "next_attempt_at", "processed_at"])
    done = PaymentEvent.State.DONE.value
    transaction.on_commit(partial(metrics.record_payment_event, event.provider, done))
