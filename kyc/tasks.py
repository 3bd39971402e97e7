"""Celery tasks of KYC. All are idempotent and process the rows that are due; beat repeats a lost run."""

from __future__ import annotations

from celery import shared_task

from kyc import cases, snapshot
from kyc.documents.retention import delete_due
from kyc.documents.sweep import sweep_orphans
from kyc.providers import events, work


@shared_task
def take_snapshot() -> None:
    snapshot.take_snapshot()


@shared_task
def lapse_claims() -> None:
    cases.lapse_claims()


@shared_task
def expire_approvals() -> None:
    cases.expire_due()


@shared_task
def delete_due_documents() -> None:
    delete_due()


@shared_task
def sweep_document_files() -> None:
    sweep_orphans()


@shared_task
def run_checks() -> None:
    """Sends the requests to providers that are due; enqueued by submissions, callbacks and beat."""
    work.run_due()


@shared_task
def forget_old_callbacks() -> None:
    events.forget_old()
