"""Asks providers about the collections that are due: claim, call outside any transaction, record.

A collection that the provider does not have yet is handed to it; that is repeated with the same reference
until it answers. All others are asked about.
"""

from __future__ import annotations

import structlog
from django.conf import settings

from core.leases import claims_within
from core.outcomes import RetryLater
from escrow.escrows.transitions import current_terms
from escrow.models.payments import Collection
from escrow.payments import registry
from escrow.payments.addresses import webhook_url
from escrow.payments.base import Collecting, CollectionFacts, Provider, Unknown
from escrow.payments.calls import Made, make
from escrow.payments.claim import WorkClaim, claim_collection
from escrow.payments.faults import set_aside_on_a_fault
from escrow.payments.received import Result, record
from escrow.payments.states import CollectionState

LONGEST_RUN_SECONDS = 20.0  # then the next sweep continues; a task may take no longer than 110 s

log = structlog.get_logger(__name__)


def run_collections() -> int:
    """Processes collections until none is due or the time is over; returns the number of attempts."""
    attempts = 0
    for claimed in claims_within(LONGEST_RUN_SECONDS, claim_collection):
        with set_aside_on_a_fault(claimed):
            attempt(claimed)
        attempts += 1
    return attempts


def attempt(claimed: WorkClaim[Collection]) -> None:
    """Hands the collection to the provider or asks about it, and records the outcome."""
    provider = registry.get(claimed.row.provider)
    calls = list_of_calls(claimed.row, provider)
    record(claimed, provider, calls)
    log.info("collection_attempt", collection=claimed.row.pk, outcome=type(calls[-1].outcome).__name__)


def list_of_calls(collection: Collection, provider: Provider) -> list[Made[Result]]:
    if not provider.is_configured():
        off = RetryLater(None, f"{provider.label} is off: a setting is missing.")
        return [Made("", off, off.reason, 0.0)]
    if collection.state != CollectionState.STARTED:
        return [ask(collection, provider)]
    facts = facts_of(collection, provider)

    def collect() -> Collecting:
        return provider.collect(facts)

    handed: Made[Result] = make(provider, "collect", collect, after_a_fault=Unknown)
    return [handed, ask(collection, provider)] if isinstance(handed.outcome, Unknown) else [handed]


def ask(collection: Collection, provider: Provider) -> Made[Result]:
    return make(
        provider,
        "ask_collection",
        lambda: provider.ask_collection(collection.reference),
        after_a_fault=lambda reason: RetryLater(None, reason),
    )


def facts_of(collection: Collection, provider: Provider) -> CollectionFacts:
    return CollectionFacts(
        reference=collection.reference,
        amount_minor=collection.amount_minor,
        currency=collection.currency,
        title=str(current_terms(collection.escrow).document.get("title", "")),
        email=collection.payer.email,
        webhook_url=webhook_url(provider),
        return_url=str(settings.PUBLIC_URL),
    )
