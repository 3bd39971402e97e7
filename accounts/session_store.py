"""Stores sessions in the database, as Django does, with some differences.

It looks up only keys that it can have generated: otherwise a cookie or token with a NUL in it would reach
PostgreSQL and cause a 500. And if a save fails because of an outage of the database, that error is raised
(503): Django's own store treats every error as a session that was deleted in the meantime (400).
What is pending in a session is left out when its account has changed since (accounts/pending.py). Codes by
mail are stored as hashes (accounts/codes.py). A session without a user ends when no code in it is valid, and
that of an operator as accounts/staff_sessions.py says.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.base import UpdateError
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.utils import timezone

from accounts import codes, pending, staff_sessions
from core.sqlstates import is_outage


class SessionStore(DatabaseStore):
    def _validate_session_key(self, key: Any) -> bool:
        """Returns whether the key has at least 8 characters, as in Django, all ASCII letters and digits."""
        return isinstance(key, str) and len(key) >= 8 and key.isascii() and key.isalnum()

    def exists(self, session_key: Any) -> bool:
        return self._validate_session_key(session_key) and super().exists(session_key)

    def get_session_cookie_age(self) -> int:
        """Returns the lifetime in seconds. Without a user it is that of a code: nothing is pending longer."""
        return settings.SESSION_COOKIE_AGE if SESSION_KEY in self else settings.CODE_LIFETIME_SECONDS

    def get_expiry_date(self, **kwargs: Any) -> datetime:
        """Returns when the session ends if it is not saved again."""
        date: datetime = super().get_expiry_date(**kwargs)
        return min(date, staff_sessions.end_of(self) or date)

    def get_expiry_age(self, **kwargs: Any) -> int:
        """Returns how many seconds the browser keeps the cookie."""
        end, age = staff_sessions.end_of(self), super().get_expiry_age(**kwargs)
        return age if end is None else min(age, int((end - timezone.now()).total_seconds()))

    def encode(self, session_dict: dict[str, Any]) -> str:
        return super().encode(codes.hashed_in(session_dict))

    def load(self) -> dict[str, Any]:
        data: dict[str, Any] = super().load()
        pending.leave_out_outdated(data)
        return data

    def save(self, must_create: bool = False) -> None:  # noqa: FBT001, FBT002  (Django's signature)
        try:
            super().save(must_create)
        except UpdateError as error:
            refused = error.__context__  # what Django was handling
            if refused is None or not is_outage(refused):
                raise
        else:
            return
        raise refused
