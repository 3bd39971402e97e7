"""Celery tasks of escrow. All are idempotent and process the rows that are due; beat repeats a lost run."""

from __future__ import annotations

from celery import shared_task

from escrow import escrows, snapshot
from escrow.api import keys
from escrow.payments import collecting, events, settled, work


@shared_task
def take_snapshot() -> None:
    snapshot.take_snapshot()


@shared_task
def release_due() -> None:
    escrows.auto_release_due()


@shared_task
def expire_escrows() -> None:
    escrows.expire_due()


@shared_task
def forget_idempotency_keys() -> None:
    keys.forget_old()


@shared_task
def run_payouts() -> None:
    """Sends the requests to payment providers that are due; enqueued by payouts, webhooks and beat."""
    work.run_payouts()


@shared_task
def run_settled() -> None:
    """Asks payment providers about settled payouts whose money could have come back."""
    settled.run_settled()


@shared_task
def run_collections() -> None:
    """Asks payment providers about the collections that are due; enqueued likewise."""
    collecting.run_collections()


@shared_task
def forget_old_payment_events() -> None:
    events.forget_old()
