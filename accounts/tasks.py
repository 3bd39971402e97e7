"""Celery tasks of accounts. Running one twice, or never, changes no outcome."""

from __future__ import annotations

from celery import shared_task

from accounts import sessions


@shared_task
def forget_ended_sessions() -> None:
    sessions.forget_ended()
