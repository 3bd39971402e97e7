"""Records what an attempt found out about a collection, if this worker still has the lease: one transaction.

Money is never refused: less than due stays in the escrow, which waits for the rest; more than due, or another
currency, goes to suspense. What a provider says against what is booked is noted and moves nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Any

from django.db import transaction
from django.utils import timezone

from core.money import CURRENCIES
from core.outcomes import Rejected, RetryLater
from core.states import By, move
from escrow import escrows, ledger, metrics
from escrow.errors import StepRefused
from escrow.escrows.transitions import lock as lock_escrow
from escrow.ledger import Leg, TransferKind
from escrow.models.ledger import MOST_MINOR
from escrow.models.payments import Collection, Contradiction
from escrow.payments.base import Checkout, CollectionSeen, CollectionStatus, NotFound, Provider, Unknown
from escrow.payments.calls import Made
from escrow.payments.claim import WorkClaim, next_look
from escrow.payments.contradictions import note
from escrow.payments.provider_fees import book_fee
from escrow.payments.reported import finish_events
from escrow.payments.states import (
    COLLECTION_OPEN,
    COLLECTION_TRANSITIONS,
    CollectionState,
    CollectionStep,
    Who,
)
from kyc.limits import give_back, use_if_possible
from kyc.limits.usage import PAYMENT

Result = Checkout | CollectionSeen | NotFound | RetryLater | Rejected | Unknown
State, Step, Kind = CollectionState, CollectionStep, Contradiction.Kind
LASTS = timedelta(days=7)  # how long a buyer may take
# Handed over this often without an answer that says where to pay: the address is lost.
MOST_HANDED_OVER = 5
LONGEST_TEXT = 300
LONGEST_ID = 100
LONGEST_URL = 500


def record(claimed: WorkClaim[Collection], provider: Provider, calls: Sequence[Made[Result]]) -> None:
    """Records the calls and what follows from the last one; processes the webhooks of the claim with it."""
    by = By(Who.PROVIDER, provider=provider.name)
    with transaction.atomic():
        lock_escrow(claimed.row.escrow_id)
        collection = claimed.rows().select_for_update(no_key=True).first()
        for call in calls:
            if call.operation:  # without one, no request was made
                call.row(provider.name, collection=claimed.row).save(force_insert=True)
        if collection is None:
            return
        apply(collection, by, calls[-1])
        release_lease(collection, calls[-1])
        finish_events(claimed.event_ids, calls[-1].outcome)


def apply(collection: Collection, by: By, call: Made[Result]) -> None:
    match call.outcome:
        case Checkout(url=url, provider_reference=reference):
            if collection.state == State.STARTED:
                known = {"checkout_url": url[:LONGEST_URL], "provider_reference": reference[:LONGEST_ID]}
                change(collection, Step.OPEN, by, **known)
        case CollectionSeen() as seen:
            apply_seen(collection, by, seen)
        case Rejected():
            end(collection, by, call.text)
        case NotFound():
            if collection.state in (State.OPEN, State.RECEIVED):
                note(collection, Kind.NOT_KNOWN_THERE, booked=collection.state, said="not found")
        case RetryLater() | Unknown():
            pass


def apply_seen(collection: Collection, by: By, seen: CollectionSeen) -> None:
    if seen.reference != collection.reference:
        note(collection, Kind.OTHER_REFERENCE, booked=collection.reference, said=seen.reference)
        return
    match seen.status:
        case CollectionStatus.RECEIVED:
            received(collection, by, seen)
        case CollectionStatus.REVERSED:
            taken_back(collection, by, seen)
        case CollectionStatus.UNPAID:
            if collection.state in (State.RECEIVED, State.REVERSED):
                contradicts(collection, seen)
            else:
                end(collection, by, seen.text)
        case CollectionStatus.OPEN:
            still_open(collection, seen)
        case CollectionStatus.UNKNOWN:
            transaction.on_commit(partial(metrics.record_unknown_status, collection.provider))


def received(collection: Collection, by: By, seen: CollectionSeen) -> None:
    if collection.state in (State.RECEIVED, State.REVERSED):
        if (seen.amount_minor, seen.currency) != (collection.received_minor, collection.received_currency):
            said = f"{seen.amount_minor} {seen.currency}"
            booked = f"{collection.received_minor} {collection.received_currency}"
            note(collection, Kind.OTHER_AMOUNT, booked=booked, said=said)
            return
        book_fee(collection, seen)
        if collection.state == State.REVERSED:
            contradicts(collection, seen)
        return
    note_differences(collection, seen)
    if not 0 < seen.amount_minor <= MOST_MINOR or seen.currency not in CURRENCIES:
        return  # what came cannot be read: nothing is booked, and it is asked about again
    correct_limit(collection, seen)
    came = {"received_minor": seen.amount_minor, "received_currency": seen.currency}
    change(collection, Step.RECEIVE, by, seen.text, **came, **known_there(collection, seen))
    book(collection)
    book_fee(collection, seen)


def book(collection: Collection) -> None:
    """Books what came: into the escrow, or into suspense if it is another currency."""
    if collection.received_currency == collection.currency:
        escrows.money_arrived(
            escrow_id=collection.escrow_id,
            collection_id=collection.pk,
            amount_minor=collection.received_minor,
            provider=collection.provider,
            receipt=collection.reference,
        )
        return
    post_other_currency(collection, TransferKind.FUNDING_EXCESS, collection.received_minor)


def post_other_currency(collection: Collection, kind: TransferKind, amount_minor: int) -> None:
    currency = collection.received_currency
    ledger.post(
        kind=kind,
        key=f"collection:{collection.pk}:{collection.reference}",
        legs=[
            Leg(ledger.clearing(collection.provider, currency), -amount_minor),
            Leg(ledger.suspense(collection.provider, currency), amount_minor),
        ],
        escrow_id=collection.escrow_id,
    )


def taken_back(collection: Collection, by: By, seen: CollectionSeen) -> None:
    if collection.state in COLLECTION_OPEN:
        end(collection, by, seen.text)
    if collection.state != State.RECEIVED:
        return
    note(collection, Kind.TAKEN_BACK, booked=collection.state, said=f"{seen.status}: {seen.text}")
    change(collection, Step.TAKE_BACK, by, seen.text)
    if collection.received_currency != collection.currency:
        post_other_currency(collection, TransferKind.FUNDING_REVERSED, -collection.received_minor)
        return
    give_back_limit(collection, min(collection.amount_minor, collection.received_minor))
    escrows.money_taken_back(
        escrow_id=collection.escrow_id,
        collection_id=collection.pk,
        amount_minor=collection.received_minor,
        provider=collection.provider,
        receipt=collection.reference,
    )


def still_open(collection: Collection, seen: CollectionSeen) -> None:
    """Ends a collection that no one pays any more. A payment that comes all the same is received."""
    if collection.state in (State.RECEIVED, State.REVERSED):
        contradicts(collection, seen)
    elif collection.state == State.STARTED and collection.attempt_count >= MOST_HANDED_OVER:
        end(collection, By(Who.SYSTEM), "The provider did not say where to pay. Begin another payment.")
    elif collection.state == State.OPEN and timezone.now() - collection.created_at > LASTS:
        end(collection, By(Who.SYSTEM), "The time to pay is over.")


def end(collection: Collection, by: By, text: str) -> None:
    if collection.state in COLLECTION_OPEN:
        change(collection, Step.END, by, text)
        give_back_limit(collection, collection.amount_minor)


def note_differences(collection: Collection, seen: CollectionSeen) -> None:
    if seen.currency != collection.currency:
        note(collection, Kind.OTHER_CURRENCY, booked=collection.currency, said=seen.currency)
    elif seen.amount_minor != collection.amount_minor:
        booked, said = str(collection.amount_minor), str(seen.amount_minor)
        note(collection, Kind.OTHER_AMOUNT, booked=booked, said=said)


def contradicts(collection: Collection, seen: CollectionSeen) -> None:
    note(collection, Kind.AFTER_THE_END, booked=collection.state, said=f"{seen.status}: {seen.text}")


def correct_limit(collection: Collection, seen: CollectionSeen) -> None:
    """Leaves what came in the limit that the start has used. Money that is here already is never refused."""
    came = seen.amount_minor if seen.currency == collection.currency else 0
    counted = min(collection.amount_minor, came)
    if collection.state not in COLLECTION_OPEN:  # its end gave all of it back
        use_limit(collection, counted)
    elif counted < collection.amount_minor:
        give_back_limit(collection, collection.amount_minor - counted)


def give_back_limit(collection: Collection, amount_minor: int) -> None:
    give_back(
        person_id=collection.payer_id,
        currency=collection.currency,
        amount_minor=amount_minor,
        kinds=PAYMENT,
        at=collection.created_at,
    )


def use_limit(collection: Collection, amount_minor: int) -> None:
    if amount_minor:
        use_if_possible(
            person_id=collection.payer_id,
            currency=collection.currency,
            amount_minor=amount_minor,
            kinds=PAYMENT,
            at=collection.created_at,
        )


def change(collection: Collection, step: CollectionStep, by: By, text: str = "", **fields: Any) -> None:
    """Applies the step to a locked collection, in the caller's transaction. Raises StepRefused."""
    transition = COLLECTION_TRANSITIONS.allowed(collection.state, step, by)
    if transition is None:
        raise StepRefused("collection", collection.state, step)
    now = timezone.now()
    changed = {**fields, "state_since": now}
    if transition.target not in COLLECTION_OPEN:
        changed |= {"next_attempt_at": None, "finished_at": now, "last_error": ""}
    move(collection, transition, by, changed, collection.events, text=text[:LONGEST_TEXT])
    transaction.on_commit(partial(metrics.record_collection, collection.provider, collection.state))


def known_there(collection: Collection, seen: CollectionSeen) -> dict[str, str]:
    return {"provider_reference": seen.provider_reference[:LONGEST_ID] or collection.provider_reference}


def release_lease(collection: Collection, call: Made[Result]) -> None:
    collection.lease_until = None
    if collection.state in COLLECTION_OPEN:
        wish = call.outcome.after if isinstance(call.outcome, RetryLater) else None
        collection.next_attempt_at = next_look(collection.state_since, timezone.now(), wish)
        is_answer = isinstance(call.outcome, Checkout | CollectionSeen)
        collection.last_error = "" if is_answer else call.text
    collection.save(update_fields=["lease_until", "next_attempt_at", "last_error"])
