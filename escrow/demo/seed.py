"""Creates the demo escrows by calling the real services, as far as the sandbox bank lets them get."""

from __future__ import annotations

import structlog
from django.conf import settings
from django.utils import timezone

from accounts.models import User
from core.money import format_amount
from core.outgoing import DeliveryError
from escrow import escrows, ledger
from escrow.demo import bank
from escrow.demo.stories import STORIES, Stage, Story
from escrow.escrows import Draft, MilestoneDraft
from escrow.escrows.transitions import current_terms
from escrow.models import Collection, Escrow, Milestone, Payout, Source
from escrow.payments.base import Destination
from escrow.payments.collecting import run_collections
from escrow.payments.collections import start_collection
from escrow.payments.payouts import request_payout
from escrow.payments.work import run_payouts
from escrow.states import State

ACCOUNT_NUMBER = "0123456789"

log = structlog.get_logger(__name__)


def seed_escrows() -> None:
    """Creates the demo escrows once, if KYC's demo people are there. In no transaction: it asks the bank.

    Without a sandbox bank they wait for their funds. Raises RuntimeError outside development.
    """
    if not settings.DEBUG:
        raise RuntimeError("Demo escrows exist in development only.")
    emails = {person.email for story in STORIES for person in (story.buyer, story.seller)}
    if Escrow.objects.exists() or User.objects.filter(email__in=emails).count() < len(emails):
        return
    try:
        for story in STORIES:
            play(story)
    except DeliveryError as problem:
        log.warning("demo_bank_does_not_answer", error=str(problem))


def play(story: Story) -> None:
    buyer, seller = (User.objects.get(email=person.email) for person in (story.buyer, story.seller))
    escrow = escrows.propose(
        creator=buyer,
        role="buyer",
        currency="NGN",
        draft=Draft(
            title=story.title,
            terms=story.terms,
            milestones=[MilestoneDraft(part.title, part.amount_minor) for part in story.parts],
        ),
        other_id=seller.pk,
    )
    if story.stage >= Stage.AGREED:
        escrows.agree(actor=seller, public_id=escrow.public_id, terms_hash=current_terms(escrow).hash)
    if not bank.is_there():
        return
    if story.stage >= Stage.AGREED:
        collection = collect(buyer, escrow)
        if story.stage >= Stage.FUNDED:
            pay(collection)
    escrow.refresh_from_db()
    if escrow.state != State.FUNDED:  # as the story wants, or because the bank took nothing
        return
    first = Milestone.objects.filter(escrow=escrow).earliest("seq")
    if story.stage == Stage.REFUNDED:
        escrows.refund(actor=seller, public_id=first.public_id, reason="The workshop is closed until May.")
    elif story.stage >= Stage.SUBMITTED:
        escrows.submit(actor=seller, public_id=first.public_id)
    if Stage.RELEASED <= story.stage <= Stage.PAID_OUT:
        escrows.approve(actor=buyer, public_id=first.public_id)
    if story.payout:
        pay_out(seller, story.payout)


def collect(buyer: User, escrow: Escrow) -> Collection:
    """Begins the collection and hands it to the bank, where the buyer can pay it."""
    collection = start_collection(payer=buyer, escrow_id=escrow.public_id)
    run_collections()
    return collection


def pay(collection: Collection) -> None:
    amount = format_amount(collection.amount_minor, collection.currency).removeprefix(collection.currency)
    bank.act("collection", collection.reference, "pay", amount=amount.strip(), currency=collection.currency)
    Collection.objects.filter(pk=collection.pk).update(next_attempt_at=timezone.now())
    run_collections()


def pay_out(seller: User, action: str) -> None:
    """Pays out all that the seller has earned; the bank then does `action`."""
    payout = request_payout(
        user=seller,
        source=Source.PAYABLE,
        amount_minor=ledger.balance_of(ledger.payable(seller.pk, "NGN")),
        currency="NGN",
        destination=Destination("058", ACCOUNT_NUMBER, seller.full_name),
    )
    run_payouts()
    bank.act("payout", payout.reference, action)
    Payout.objects.filter(pk=payout.pk).update(next_attempt_at=timezone.now())
    run_payouts()
