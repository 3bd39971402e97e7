"""Celery tasks of accounts. All are idempotent, and beat runs each of them again if a run is lost."""

from __future__ import annotations

from celery import shared_task

from accounts import sessions
from accounts.mail import outbox, work


@shared_task
def forget_ended_sessions() -> None:
    sessions.forget_ended()


@shared_task
def send_mails() -> None:
    """Sends the mails that are due; enqueued after each commit that stores one, and by beat."""
    work.run_due()


@shared_task
def take_mail_snapshot() -> None:
    work.take_snapshot()


@shared_task
def forget_old_mails() -> None:
    outbox.forget_old()
