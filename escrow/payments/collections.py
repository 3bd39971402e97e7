"""Begins collections: a buyer pays for an escrow. The worker asks the provider (collecting.py)."""

from __future__ import annotations

import uuid
from functools import partial

from django.conf import settings
from django.db import transaction

from accounts.models import User
from core.request_id import current_request_id
from escrow import metrics
from escrow.errors import EscrowNotFound
from escrow.escrows.funding import missing_from
from escrow.escrows.transitions import lock, lock_people, refuse_frozen
from escrow.models import Escrow
from escrow.models.payments import Collection
from escrow.payments import registry
from escrow.payments.errors import (
    CollectionNotFound,
    CollectionOpen,
    NotAwaitingFunds,
    PaymentsOff,
    WrongAmount,
)
from escrow.payments.ringing import collections_doorbell
from escrow.payments.states import COLLECTION_OPEN
from escrow.states import State
from kyc.limits import use
from kyc.limits.usage import PAYMENT


def start_collection(*, payer: User, escrow_id: uuid.UUID, amount_minor: int | None = None) -> Collection:
    """Plans a collection from the escrow's buyer, which gets its reference now; returns it.

    `escrow_id`: the public id. `amount_minor`: what the buyer pays now, at most what is missing (of what is
    due, or because a payment was taken back); all of it without one. While one is open it is returned again.
    Raises NotAllowed for a closed account, EscrowNotFound, also for another person's, NotAwaitingFunds,
    Frozen, WrongAmount, CollectionOpen for one with another amount, PaymentsOff, LimitExceeded and
    NoLimitSet; then nothing is begun.
    """
    provider = registry.get(settings.PAYMENT_PROVIDER)
    if not provider.is_configured():
        raise PaymentsOff
    with transaction.atomic():
        lock_people(payer.pk)
        escrow = lock_as_buyer(payer, escrow_id)
        missing = missing_from(escrow)
        amount = missing if amount_minor is None else amount_minor
        known = Collection.objects.filter(escrow=escrow, state__in=COLLECTION_OPEN).first()
        if known is not None:
            return the_same(known, amount)
        if not 0 < amount <= missing:
            raise WrongAmount
        return begin(escrow, payer, amount, provider.name)


def lock_as_buyer(payer: User, public_id: uuid.UUID) -> Escrow:
    found = Escrow.objects.filter(public_id=public_id, buyer=payer).values_list("pk", flat=True).first()
    if found is None:
        raise EscrowNotFound
    escrow = lock(found).escrow
    if not missing_from(escrow):
        raise NotAwaitingFunds(escrow.state)
    if escrow.state == State.AWAITING_FUNDS:  # a short escrow is frozen because this money is missing
        refuse_frozen(escrow)
    return escrow


def begin(escrow: Escrow, payer: User, amount_minor: int, provider: str) -> Collection:
    collection = Collection.objects.create(
        escrow=escrow,
        payer=payer,
        amount_minor=amount_minor,
        currency=escrow.currency,
        provider=provider,
        reference=uuid.uuid4().hex,
    )
    use(
        person_id=payer.pk,
        currency=escrow.currency,
        amount_minor=amount_minor,
        kinds=PAYMENT,
        at=collection.created_at,
    )
    collection.events.create(
        event="start",
        to_state=collection.state,
        actor_id=payer.pk,
        request_id=current_request_id(),
    )
    transaction.on_commit(partial(metrics.record_collection, provider, collection.state))
    transaction.on_commit(collections_doorbell.ring)
    return collection


def the_same(known: Collection, amount_minor: int) -> Collection:
    if known.amount_minor != amount_minor:
        raise CollectionOpen
    return known


def collection_of(payer: User, public_id: uuid.UUID) -> Collection:
    """Returns the buyer's collection. Raises CollectionNotFound, also for another person's."""
    found = Collection.objects.filter(payer=payer, public_id=public_id).first()
    if found is None:
        raise CollectionNotFound
    return found
