"""Stores callbacks before they are processed. Processing requests the result from the provider again."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from hashlib import sha256

import structlog
from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.models import User
from core.constraints import constraint_of
from core.encryption import encrypt
from core.request_id import current_request_id
from kyc import metrics
from kyc.errors import CannotReprocess, NotAllowed, ReasonMissing
from kyc.models import Case, Check, ProviderEvent
from kyc.providers.base import Callback
from kyc.providers.outbox import doorbell
from kyc.roles import REPROCESS_CALLBACK

# Forged callbacks must not fill the disk: the first of each hour are stored, the others only counted.
REFUSED_KEPT_AN_HOUR = 20
REFUSED_KEPT_BYTES = 4_096
DELETED_AT_ONCE = 5_000
LONGEST_REASON = 500

State = ProviderEvent.State
log = structlog.get_logger(__name__)


def store(*, provider: str, callback: Callback, body: bytes) -> bool:
    """Stores a verified callback once, and starts the worker. Returns False for a duplicate."""
    check = Check.objects.filter(provider=provider, reference=callback.reference).first()
    event = event_about(check, provider=provider, event_id=callback.event_id, body=body)
    with transaction.atomic():
        if not insert(event):
            transaction.on_commit(partial(metrics.record_provider_event, provider, "duplicate"))
            return False
        transaction.on_commit(partial(metrics.record_provider_event, provider, "stored"))
        if check is None:
            transaction.on_commit(partial(metrics.record_provider_event, provider, "ignored"))
        else:
            transaction.on_commit(doorbell.ring)
    return True


def insert(event: ProviderEvent) -> bool:
    """Inserts the row. Returns False if the unique index has it already."""
    try:
        with transaction.atomic():
            event.save(force_insert=True)
    except IntegrityError as error:
        if constraint_of(error) != "a_callback_is_stored_once":
            raise
        return False
    return True


def event_about(check: Check | None, *, provider: str, event_id: str, body: bytes) -> ProviderEvent:
    event = ProviderEvent(
        provider=provider,
        event_id=event_id,
        body=encrypt(body),
        signature_ok=True,
        check_row=check,
        request_id=current_request_id(),
    )
    if check is None:
        event.state, event.reason = State.IGNORED, "None of our checks has this reference."
        event.next_attempt_at, event.processed_at = None, timezone.now()
    return event


def store_refused(*, provider: str, body: bytes, result: str, reason: str) -> None:
    """Counts a forged or malformed callback, and stores some. `result`: bad_signature or malformed."""
    since = timezone.now() - timedelta(hours=1)
    kept = ProviderEvent.objects.filter(provider=provider, state=State.REFUSED, received_at__gte=since)
    if kept.count() < REFUSED_KEPT_AN_HOUR:
        ProviderEvent.objects.create(
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
    metrics.record_provider_event(provider, result)


@transaction.atomic
def reprocess(*, event_id: int, actor: User, reason: str) -> ProviderEvent:
    """Schedules a callback for processing again, for example after an error was corrected.

    Returns the callback. Raises NotAllowed, ReasonMissing or CannotReprocess.
    """
    if not actor.has_perm(REPROCESS_CALLBACK):
        raise NotAllowed
    if not reason.strip():
        raise ReasonMissing("Processing again needs a reason.", fields={"reason": ["Write why."]})
    event = ProviderEvent.objects.select_for_update().get(pk=event_id)
    if not event.signature_ok:
        raise CannotReprocess("Its signature is wrong, so its sender is unknown.")
    if event.check_row_id is None:
        raise CannotReprocess("None of our checks has its reference.")
    event.state = State.PENDING
    event.attempt_count = 0
    event.next_attempt_at = timezone.now()
    event.asked_again_by_id = actor.pk
    event.asked_again_because = reason.strip()[:LONGEST_REASON]
    event.save(
        update_fields=[
            "state",
            "attempt_count",
            "next_attempt_at",
            "asked_again_by",
            "asked_again_because",
        ]
    )
    log.info("kyc_callback_reprocessed", event_id=event.pk, actor=actor.pk)
    transaction.on_commit(doorbell.ring)
    return event


def forget(*, case: Case) -> int:
    """Deletes the callbacks about a case, whose bodies have personal data, and returns how many."""
    deleted, _ = ProviderEvent.objects.filter(check_row__case_id=case.pk).delete()
    return deleted


def forget_old() -> int:
    """Deletes processed callbacks older than KYC_REJECTED_RETENTION_DAYS, and returns how many."""
    before = timezone.now() - timedelta(days=settings.KYC_REJECTED_RETENTION_DAYS)
    old = ProviderEvent.objects.filter(received_at__lt=before).exclude(state=State.PENDING)
    ids = list(old.order_by("received_at").values_list("pk", flat=True)[:DELETED_AT_ONCE])
    deleted, _ = ProviderEvent.objects.filter(pk__in=ids).delete()
    return deleted
