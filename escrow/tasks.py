"""Celery tasks of escrow. All are idempotent and process the rows that are due; beat repeats a lost run."""

from __future__ import annotations

from celery import shared_task

from escrow.api import keys


@shared_task
def forget_idempotency_keys() -> None:
    keys.forget_old()
