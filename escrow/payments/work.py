"""Sends the payouts that are due, and asks about them: claim, call outside any transaction, record.

requested ── the time of the request is stored, then it is sent
requested, and that time is there ── an attempt ended without a record: unknown, so ask
sent, unknown ── ask with the reference
unknown, and the provider does not know it ── send again with the same reference, but only where the
    provider promises to pay a reference once, and only after a while
"""

from __future__ import annotations

from datetime import timedelta

import structlog
from django.db import transaction
from django.db.models.functions import Coalesce
from django.utils import timezone

from core.leases import claims_within
from core.outcomes import RetryLater
from escrow.models.payments import Payout
from escrow.payments import registry
from escrow.payments.addresses import webhook_url
from escrow.payments.base import NotFound, Paying, PayoutFacts, Provider, Unknown
from escrow.payments.calls import Made, make
from escrow.payments.claim import WorkClaim, claim
from escrow.payments.destinations import destination_of
from escrow.payments.faults import set_aside_on_a_fault
from escrow.payments.record import Result, record
from escrow.payments.states import PayoutState, PayoutStep
from escrow.payments.transitions import SYSTEM, change_payout, lock_claimed
from escrow.stops import open_causes

LONGEST_RUN_SECONDS = 20.0  # then the next sweep continues; a task may take no longer than 110 s
# How long after the last request "not found" may still mean "not yet".
QUIET = timedelta(seconds=60)

log = structlog.get_logger(__name__)


def run_payouts() -> int:
    """Processes payouts until none is due or the time is over; returns the number of attempts."""
    attempts = 0
    for claimed in claims_within(LONGEST_RUN_SECONDS, claim):
        with set_aside_on_a_fault(claimed):
            attempt(claimed)
        attempts += 1
    return attempts


def attempt(claimed: WorkClaim[Payout]) -> None:
    """Sends the payout or asks about it, and records the outcome."""
    provider = registry.get(claimed.row.provider)
    was_interrupted = claimed.row.first_sent_at is not None
    if claimed.row.state == PayoutState.REQUESTED and was_interrupted and not lose_track(claimed):
        return
    calls = list_of_calls(claimed, provider)
    if calls:
        record(claimed, provider, calls)
        log.info("payout_attempt", payout=claimed.row.pk, outcome=type(calls[-1].outcome).__name__)


def list_of_calls(claimed: WorkClaim[Payout], provider: Provider) -> list[Made[Result]]:
    """Makes the requests of this attempt: one, or a question and then the same request again."""
    payout = claimed.row
    if not provider.is_configured():
        off = RetryLater(None, f"{provider.label} is off: a setting is missing.")
        return [Made("", off, off.reason, 0.0)]
    if payout.state == PayoutState.REQUESTED:
        return send(claimed, provider)
    asked: Made[Result] = make(
        provider,
        "ask_payout",
        lambda: provider.ask_payout(payout.reference),
        after_a_fault=lambda reason: RetryLater(None, reason),
    )
    if isinstance(asked.outcome, NotFound) and may_be_sent_again(payout, provider):
        return [asked, *send(claimed, provider)]
    return [asked]


def may_be_sent_again(payout: Payout, provider: Provider) -> bool:
    """Returns whether the same reference may be sent again to a provider that does not know it."""
    last = payout.last_sent_at
    is_quiet = last is not None and timezone.now() - last >= QUIET
    return payout.state == PayoutState.UNKNOWN and provider.pays_a_reference_once and is_quiet


def send(claimed: WorkClaim[Payout], provider: Provider) -> list[Made[Result]]:
    """Stores that a request begins, then makes it. Sends nothing while the money is stopped, or if another
    worker has the payout by now.
    """
    if open_causes():
        stopped = RetryLater(None, "Payouts are stopped.")
        return [Made("", stopped, stopped.reason, 0.0)]
    facts = facts_of(claimed.row, provider)
    now = timezone.now()
    if not claimed.rows().update(first_sent_at=Coalesce("first_sent_at", now), last_sent_at=now):
        return []

    def pay() -> Paying:
        return provider.pay(facts)

    return [make(provider, "pay", pay, after_a_fault=Unknown)]


def facts_of(payout: Payout, provider: Provider) -> PayoutFacts:
    return PayoutFacts(
        reference=payout.reference,
        amount_minor=payout.amount_minor,
        currency=payout.currency,
        destination=destination_of(payout),
        reason="Amani payout",
        webhook_url=webhook_url(provider),
    )


def lose_track(claimed: WorkClaim[Payout]) -> bool:
    """Marks a payout as unknown whose last attempt left no record. False if it is not ours any more."""
    with transaction.atomic():
        payout = lock_claimed(claimed)
        if payout is None:
            return False
        change_payout(payout, PayoutStep.LOSE_TRACK, SYSTEM, "An attempt ended without a record.")
    claimed.row.refresh_from_db()
    return True
