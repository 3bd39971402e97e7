"""Stores webhooks before they are processed. Processing asks the provider again (work.py)."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from hashlib import sha256

import structlog
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.models import User
from core.constraints import constraint_of
from core.doorbell import Doorbell
from core.encryption import encrypt
from core.request_id import current_request_id
from escrow import metrics
from escrow.models.payments import Collection, PaymentEvent, Payout
from escrow.payments.base import Callback
from escrow.payments.errors import CannotReprocess, MayNotReprocess, ReprocessingNeedsReason
from escrow.payments.ringing import collections_doorbell, payouts_doorbell
from escrow.roles import REPROCESS_PAYMENT_EVENT

# Forged webhooks must not fill the disk: the first of each hour are stored, the others only counted.
REFUSED_KEPT_AN_HOUR = 20
REFUSED_KEPT_BYTES = 4_096
KEPT = timedelta(days=400)  # longer than a chargeback takes
DELETED_AT_ONCE = 5_000
LONGEST_REASON = 500
LONGEST_KIND = 64

State = PaymentEvent.State
log = structlog.get_logger(__name__)


def store(*, provider: str, callback: Callback, body: bytes) -> bool:
    """Stores a verified webhook once, and wakes the worker. Returns False for a duplicate."""
    event = event_about(provider=provider, callback=callback, body=body)
    with transaction.atomic():
        if not insert(event):
            count_after_commit(provider, "duplicate")
            return False
        count_after_commit(provider, "stored")
        if event.state == State.UNMATCHED:
            count_after_commit(provider, "unmatched")
        else:
            transaction.on_commit(bell_for(event).ring)
    return True


def insert(event: PaymentEvent) -> bool:
    """Inserts the row. Returns False if the unique index has it already."""
    try:
        with transaction.atomic():
            event.save(force_insert=True)
    except IntegrityError as error:
        if constraint_of(error) != "a_payment_event_is_stored_once":
            raise
        return False
    return True


def event_about(*, provider: str, callback: Callback, body: bytes) -> PaymentEvent:
    """Returns the row, not yet saved, with what of ours its reference names."""
    event = PaymentEvent(
        provider=provider,
        event_id=callback.event_id,
        kind=callback.kind[:LONGEST_KIND],
        reference=callback.reference,
        body=encrypt(body),
        signature_ok=True,
        request_id=current_request_id(),
    )
    if not name_subject(event):
        event.state, event.reason = State.UNMATCHED, "Nothing of ours has this reference."
        event.next_attempt_at, event.processed_at = None, timezone.now()
    return event


def name_subject(event: PaymentEvent) -> bool:
    """Sets the payout or collection that the event's reference names. Returns False for none."""
    ours = {"provider": event.provider, "reference": event.reference}
    event.payout = Payout.objects.filter(**ours).first()
    event.collection = Collection.objects.filter(**ours).first()
    return event.payout is not None or event.collection is not None


def bell_for(event: PaymentEvent) -> Doorbell:
    return payouts_doorbell if event.payout_id else collections_doorbell


def store_refused(*, provider: str, body: bytes, result: str, reason: str) -> None:
    """Counts a forged or malformed webhook, and stores some. `result`: bad_signature or malformed."""
    since = timezone.now() - timedelta(hours=1)
    kept = PaymentEvent.objects.filter(provider=provider, state=State.REFUSED, received_at__gte=since)
    if kept.count() < REFUSED_KEPT_AN_HOUR:
        PaymentEvent.objects.create(
            provider=provider,
            event_id=sha256(body).hexdigest(),
            body=encrypt(body[:REFUSED_KEPT_BYTES]),
            signature_ok=False,
            state=State.REFUSED,
            reason=reason,
            next_attempt_at=None,
            processed_at=timezone.now(),
            request_id=current_request_id(),
        )
    metrics.record_payment_event(provider, result)


@transaction.atomic
def reprocess(*, event_id: int, actor: User, reason: str) -> PaymentEvent:
    """Schedules a webhook for processing again, for example after an error was corrected.

    A webhook that named nothing of ours is looked up again. Returns it. Raises MayNotReprocess,
    ReprocessingNeedsReason or CannotReprocess.
    """
    if not actor.has_perm(REPROCESS_PAYMENT_EVENT):
        raise MayNotReprocess
    if not reason.strip():
        raise ReprocessingNeedsReason
    event = PaymentEvent.objects.select_for_update().get(pk=event_id)
    if not event.signature_ok:
        raise CannotReprocess("Its signature is wrong, so its sender is unknown.")
    if not name_subject(event):
        raise CannotReprocess("Nothing of ours has its reference.")
    event.state, event.attempt_count = State.PENDING, 0
    event.next_attempt_at = timezone.now()
    event.asked_again_by_id, event.asked_again_because = actor.pk, reason.strip()[:LONGEST_REASON]
    event.save(
        update_fields=[
            "state",
            "attempt_count",
            "next_attempt_at",
            "asked_again_by",
            "asked_again_because",
            "payout",
            "collection",
        ]
    )
    log.info("payment_event_reprocessed", event_id=event.pk, actor=actor.pk)
    transaction.on_commit(bell_for(event).ring)
    return event


def forget_old() -> int:
    """Deletes processed webhooks after 400 days, and returns how many."""
    old = PaymentEvent.objects.filter(received_at__lt=timezone.now() - KEPT).exclude(state=State.PENDING)
    ids = list(old.order_by("received_at").values_list("pk", flat=True)[:DELETED_AT_ONCE])
    deleted, _ = PaymentEvent.objects.filter(pk__in=ids).delete()
    return deleted


def count_after_commit(provider: str, result: str) -> None:
    transaction.on_commit(partial(metrics.record_payment_event, provider, result))
