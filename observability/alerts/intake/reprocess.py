"""Processes the body of a receipt again: after a fix in the sender or in Amani, or for alerts set aside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction
from django.utils import timezone

from core.request_id import current_request_id
from observability.alerts.delivery import outbox
from observability.alerts.errors import CannotReprocess
from observability.alerts.intake import ingest
from observability.alerts.intake.ingest import Envelope, Stored
from observability.alerts.intake.payload import NotAPayload, Payload, read_payload
from observability.models import Receipt

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser


def can_reprocess(receipt: Receipt) -> bool:
    """Whether the body was not stored, or only in part. One that was stored in full would change nothing."""
    return receipt.outcome != Receipt.Outcome.STORED


@transaction.atomic
def reprocess(*, receipt_id: int, actor: AbstractBaseUser) -> Stored:
    """Stores the alerts of the body that are not stored yet, and plans their deliveries.

    Raises CannotReprocess when the body was stored in full, or still cannot be read.
    """
    receipt = Receipt.objects.select_for_update(of=("self",)).get(pk=receipt_id)
    if not can_reprocess(receipt):
        raise CannotReprocess(f"Receipt {receipt.pk} was stored in full; there is nothing left to process.")
    payload = read_again(receipt)
    envelope = Envelope(bytes(receipt.body), receipt.remote_address, current_request_id(), receipt.pk)
    stored = ingest.store(payload, envelope, keep_receipt=False)
    receipt.reprocessed_at = timezone.now()
    receipt.reprocessed_by_id = actor.pk
    receipt.save(update_fields=["reprocessed_at", "reprocessed_by"])
    outbox.ring_on_commit(stored.channels)
    return stored


def read_again(receipt: Receipt) -> Payload:
    """Returns the payload of the body. Raises CannotReprocess when it has no alert that can be stored."""
    try:
        payload = read_payload(bytes(receipt.body))
    except NotAPayload as problem:
        raise CannotReprocess(f"Receipt {receipt.pk} still cannot be read: {problem}") from problem
    if payload.received and not payload.alerts and not payload.watchdog_fires:
        first = payload.set_aside[0]["reason"]
        raise CannotReprocess(f"Receipt {receipt.pk}: every alert in it would be set aside again: {first}.")
    return payload
