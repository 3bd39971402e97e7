"""Deletes expired sessions, and with them the addresses and browsers of their users.

Every attempt to sign up or sign in creates a session, also one that is not completed, so they accumulate.
"""

from __future__ import annotations

from datetime import timedelta

from allauth.usersessions.models import UserSession
from django.contrib.sessions.models import Session
from django.db.models import Exists, Model, OuterRef, QuerySet
from django.utils import timezone

BATCH_SIZE = 10_000  # rows of each table in one run, which keeps the statements short
GRACE_PERIOD = timedelta(hours=1)  # the two rows of a new session are not written at the same time


def forget_ended() -> int:
    """Deletes ended sessions, at most one batch of each table, and returns the number of deleted rows."""
    expired = Session.objects.filter(expire_date__lt=timezone.now())
    session = Session.objects.filter(session_key=OuterRef("session_key"))
    older = UserSession.objects.filter(created_at__lt=timezone.now() - GRACE_PERIOD)
    return delete_batch(expired) + delete_batch(older.filter(~Exists(session)))


def delete_batch(rows: QuerySet[Model]) -> int:
    keys = list(rows.values_list("pk", flat=True)[:BATCH_SIZE])
    deleted, _ = rows.model._default_manager.filter(pk__in=keys).delete()  # noqa: SLF001  (Django's own way)
    return deleted
