"""Celery tasks of KYC: they come and look at the rows. Running one twice, or never, changes no outcome."""

from __future__ import annotations

from celery import shared_task

from kyc import cases, snapshot


@shared_task
def take_snapshot() -> None:
    snapshot.take_snapshot()


@shared_task
def lapse_claims() -> None:
    cases.lapse_claims()


@shared_task
def expire_approvals() -> None:
    cases.expire_due()
