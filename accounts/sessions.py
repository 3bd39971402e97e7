"""Ends sessions when their user asks for it, and deletes expired ones, with the IP addresses and browsers.

Every attempt to sign up or sign in creates a session, also one that is not completed, so they accumulate.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from allauth.account.models import EmailAddress
from allauth.core import context
from allauth.usersessions.adapter import DefaultUserSessionsAdapter
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib.sessions.models import Session
from django.db.models import Exists, Model, OuterRef, QuerySet
from django.utils import timezone

from accounts import pending
from accounts.account_state import end_other_sessions, end_sessions
from accounts.models import User

BATCH_SIZE = 10_000  # rows of each table in one run, which keeps the statements short
GRACE_PERIOD = timedelta(hours=1)  # the two rows of a new session are not written at the same time


class SessionsAdapter(DefaultUserSessionsAdapter):  # type: ignore[misc]  # allauth ships no types
    def end_sessions(self, sessions: Sequence[UserSession]) -> None:
        """Ends these sessions, and what is pending if no other is left: that is "sign out everywhere"."""
        super().end_sessions(sessions)
        for user in {session.user for session in sessions}:
            match UserSession.objects.purge_and_list(user):
                case []:
                    end_sessions(user)
                case [own] if own.is_current():
                    end_other_sessions(context.request, user)


def forget_ended() -> int:
    """Deletes ended sessions, at most one batch of each table, and returns the number of deleted rows."""
    expired = Session.objects.filter(expire_date__lt=timezone.now())
    session = Session.objects.filter(session_key=OuterRef("session_key"))
    older = UserSession.objects.filter(created_at__lt=timezone.now() - GRACE_PERIOD)
    return delete_batch(expired) + delete_batch(older.filter(~Exists(session)))


def forget_pending(person: User) -> int:
    """Deletes the sessions in which something is pending for the person or an address of theirs.

    Call it in the erasure's transaction, before the addresses are deleted. Returns how many. Reads only the
    sessions that end soon, because those without a user do.
    """
    soon = timezone.now() + timedelta(seconds=settings.CODE_LIFETIME_SECONDS)
    addresses = {person.email, *EmailAddress.objects.filter(user=person).values_list("email", flat=True)}
    found = [
        session.pk
        for session in Session.objects.filter(expire_date__lte=soon).iterator()
        if pending.is_about(session.get_decoded(), person.pk, addresses)
    ]
    deleted, _ = Session.objects.filter(pk__in=found).delete()
    return deleted


def delete_batch(rows: QuerySet[Model]) -> int:
    keys = list(rows.values_list("pk", flat=True)[:BATCH_SIZE])
    deleted, _ = rows.model._default_manager.filter(pk__in=keys).delete()  # noqa: SLF001  (Django's own way)
    return deleted
