"""The part of payments in the export of an account's data, in its erasure, and in a change of the key."""

from __future__ import annotations

from typing import Any

from django.db.models import Q

from accounts import erasure, export
from accounts.models import User
from escrow.models import EscrowEventText, MilestoneEventText
from escrow.models.payments import Collection, Contradiction, PaymentEvent, Payout
from escrow.payments.states import PAYOUT_OPEN
from kyc.documents import rotation


def register() -> None:
    export.register(name="payments", collect=collect)
    erasure.register(name="payments", refuse=refuse, erase=erase)
    accounts = Payout.objects.exclude(destination_encrypted=b"")
    rotation.register("The account of payout", accounts, "destination_encrypted")
    for texts in (EscrowEventText, MilestoneEventText):
        rotation.register("What was written about event", texts.objects.all(), "encrypted")


def collect(person: User) -> dict[str, Any]:
    """Returns what the person paid and had paid out; of accounts only the last digits."""
    collections = Collection.objects.filter(payer=person).order_by("id")
    payouts = Payout.objects.filter(user=person).order_by("id")
    shared = ("public_id", "state", "amount_minor", "currency", "created_at")
    return {
        "paid": list(collections.values(*shared, "received_minor")),
        "paid_out": list(payouts.values(*shared, "destination_last")),
    }


def refuse(person: User) -> str | None:
    """Returns why the account has to stay for now: a payout that has not ended."""
    if Payout.objects.filter(user=person, state__in=PAYOUT_OPEN).exists():
        return "A payout to you has not ended. Wait for it first."
    return None


def erase(person: User) -> None:
    """Deletes the bank accounts, the webhooks about the person, whose bodies name them, and the reasons that
    operators wrote about their payments.
    """
    mine = Q(payout__user=person) | Q(collection__payer=person)
    PaymentEvent.objects.filter(mine).delete()
    Contradiction.objects.filter(mine, closed_at__isnull=False).update(closed_because="")
    Payout.objects.filter(user=person).update(destination_encrypted=b"", destination_last="")
