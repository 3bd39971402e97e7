"""Ends the sessions of operators after STAFF_SESSION_HOURS, and earlier when they are not used.

A session notes when it began and when it was last used, to within a minute, so that a page costs no query.
The end of its row in the database follows from both (accounts/session_store.py): a copied cookie
is refused after it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.signals import user_logged_in
from django.contrib.sessions.backends.base import SessionBase
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils import timezone

from accounts.models import User

KEY = "amani_staff_session"  # [began, last used], each in seconds since 1970
PRECISION_SECONDS = 60


@receiver(user_logged_in, dispatch_uid="accounts.staff_sessions.begin")
def begin(request: HttpRequest, user: User, **_: Any) -> None:
    if user.is_staff:
        now = timezone.now().timestamp()
        request.session[KEY] = [now, now]


def touch(session: SessionBase) -> None:
    """Notes that the session is used now. It begins now if it is from before Amani noted its beginning."""
    now = timezone.now().timestamp()
    began, used = session.get(KEY) or (now, 0)
    if now - used > PRECISION_SECONDS:
        session[KEY] = [began, now]


def end_of(session: SessionBase) -> datetime | None:
    """Returns when the session ends if it is not used again; None for one that is not an operator's."""
    if not session.get(KEY):
        return None
    began, used = (datetime.fromtimestamp(moment, UTC) for moment in session[KEY])
    longest, idle = settings.STAFF_SESSION_HOURS, settings.STAFF_IDLE_MINUTES
    return min(began + timedelta(hours=longest), used + timedelta(minutes=idle))
