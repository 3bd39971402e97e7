"""Celery tasks of escrow. All are idempotent and process the rows that are due; beat repeats a lost run."""

from __future__ import annotations

from celery import shared_task

from escrow import escrows, snapshot
from escrow.api import keys


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
