"""Frees the deliveries that a sender has claimed and left: its worker died, or its batch was not finished."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from observability.models import Attempt, Delivery

State = Delivery.State


def note_abandoned_attempt(delivery: Delivery) -> None:
    """Records the attempt of a worker that died before it did so: the vendor may have the message."""
    if delivery.state != State.SENDING:
        return
    Attempt.objects.get_or_create(
        delivery=delivery,
        number=delivery.attempt_count,
        defaults={
            "outcome": Attempt.Outcome.UNKNOWN,
            "response": "The worker ended before it could write down the outcome.",
        },
    )


def release_abandoned(channel: str, slot: int) -> int:
    """Frees what the last holder of `slot` left behind. Returns how many deliveries it was sending.

    Only the present holder of the slot's lock may call this.
    """
    with transaction.atomic():
        release_reserved(channel, slot)
        left = list(
            Delivery.objects.select_for_update().filter(channel=channel, claim_slot=slot, state=State.SENDING)
        )
        for delivery in left:
            note_abandoned_attempt(delivery)
            delivery.state = State.PENDING
            delivery.next_attempt_at = timezone.now()
            delivery.lease_until = delivery.claim_slot = None
            delivery.save(update_fields=["state", "next_attempt_at", "lease_until", "claim_slot"])
    return len(left)


def release_reserved(channel: str, slot: int) -> None:
    """Gives back what `slot` has reserved and not begun: any sender may claim it at once."""
    Delivery.objects.filter(channel=channel, claim_slot=slot, state=State.PENDING).update(
        claim_slot=None, lease_until=None
    )
