"""Requests payouts. The worker sends them (work.py)."""

from __future__ import annotations

import uuid
from functools import partial

import structlog
from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.models import User
from core.constraints import constraint_of
from core.money import CURRENCIES
from core.request_id import current_request_id
from escrow import metrics
from escrow.escrows.transitions import lock_people
from escrow.models.ledger import MOST_MINOR
from escrow.models.payments import Payout, Source
from escrow.payments import booking, destinations, registry
from escrow.payments.base import Destination
from escrow.payments.errors import (
    MayNotReprocess,
    PaymentsOff,
    PayoutEnded,
    PayoutKeyUsed,
    PayoutNotFound,
    WrongAmount,
)
from escrow.payments.ringing import payouts_doorbell
from escrow.payments.states import PAYOUT_OPEN, PayoutState
from escrow.roles import REPROCESS_PAYMENT_EVENT
from escrow.stops import refuse_while_stopped

log = structlog.get_logger(__name__)

ENDED_UNPAID = (PayoutState.FAILED, PayoutState.RETURNED)


def request_payout(
    *, user: User, source: Source, amount_minor: int, currency: str, destination: Destination, key: str = ""
) -> Payout:
    """Holds the money and plans the payout, which gets its reference now; returns it.

    `key`: the caller's own, one payout for each; with the same content it returns the same payout. Raises
    WrongAmount, WrongDestination, PaymentsOff, NotAllowed for a closed account, MoneyStopped, LimitExceeded,
    NoLimitSet, InsufficientFunds, and PayoutKeyUsed for a key with another content, or whose payout ended
    without paying. Then nothing is held.
    """
    refuse_wrong_amount(amount_minor, currency)
    provider = registry.get(settings.PAYMENT_PROVIDER)
    if not provider.is_configured():
        raise PaymentsOff
    wanted = Payout(
        user=user,
        source=source,
        amount_minor=amount_minor,
        currency=currency,
        provider=provider.name,
        reference=uuid.uuid4().hex,
        key=key,
    )
    where = destinations.checked(destination)
    wanted.destination_encrypted = destinations.encrypted(where)
    wanted.destination_last = destinations.last_digits(where)
    with transaction.atomic():
        lock_people(user.pk)
        refuse_while_stopped()
        known = known_by_key(wanted)
        if known is not None:
            return the_same(known, wanted, where)
        return begin(wanted)


def begin(payout: Payout) -> Payout:
    """Holds the money of a new row and says so."""
    payout.hold_id = booking.hold(payout)
    payout.save(update_fields=["hold_id"])
    payout.events.create(
        event="request",
        to_state=payout.state,
        actor_id=payout.user_id,
        request_id=current_request_id(),
        at=timezone.now(),
    )
    transaction.on_commit(partial(metrics.record_payout, payout.provider, payout.state))
    metrics.count_after_commit("payout", payout.state)
    transaction.on_commit(payouts_doorbell.ring)
    return payout


def known_by_key(wanted: Payout) -> Payout | None:
    """Inserts the row and returns None, or returns the row that has its key, also one of this very moment."""
    try:
        with transaction.atomic():
            wanted.save(force_insert=True)
    except IntegrityError as error:
        if constraint_of(error) != "a_user_uses_a_payout_key_once":
            raise
        return Payout.objects.get(user=wanted.user, key=wanted.key)
    return None


def the_same(known: Payout, wanted: Payout, where: Destination) -> Payout:
    facts = ("source", "amount_minor", "currency")
    is_same = all(getattr(known, name) == getattr(wanted, name) for name in facts)
    if not is_same or destinations.destination_of(known) != where:
        raise PayoutKeyUsed("for another payout.")
    if known.state in ENDED_UNPAID:
        raise PayoutKeyUsed("its payout ended and the money is back.")
    return known


def refuse_wrong_amount(amount_minor: int, currency: str) -> None:
    if not 0 < amount_minor <= MOST_MINOR or currency not in CURRENCIES:
        raise WrongAmount


def payout_of(user: User, public_id: uuid.UUID) -> Payout:
    """Returns the user's payout. Raises PayoutNotFound, also for another person's."""
    found = Payout.objects.filter(user=user, public_id=public_id).first()
    if found is None:
        raise PayoutNotFound
    return found


@transaction.atomic
def ask_again(*, payout_id: int, actor: User) -> Payout:
    """Has the worker ask the provider about an open payout now. Raises MayNotReprocess or PayoutEnded."""
    if not actor.has_perm(REPROCESS_PAYMENT_EVENT):
        raise MayNotReprocess
    payout = Payout.objects.select_for_update(no_key=True).get(pk=payout_id)
    if payout.state not in PAYOUT_OPEN:
        raise PayoutEnded
    payout.next_attempt_at = timezone.now()
    payout.save(update_fields=["next_attempt_at"])
    log.info("payout_asked_again", payout=payout.pk, actor=actor.pk)
    transaction.on_commit(payouts_doorbell.ring)
    return payout
