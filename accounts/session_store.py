"""Django's sessions in the database, with two differences.

It asks for no key that it can't have made: a cookie or a token with a NUL in it would otherwise reach
PostgreSQL, and every stranger could cause a 500. And a session that the database cannot save for now is an
outage: Django's own store takes every error for a session that was deleted meanwhile, which is a 400.
"""

from __future__ import annotations

from typing import Any

from django.contrib.sessions.backends.base import UpdateError
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore

from core.sqlstates import is_outage


class SessionStore(DatabaseStore):
    def _validate_session_key(self, key: Any) -> bool:
        """What Django asks of a key (8 characters or more), and that they are of its own alphabet."""
        return isinstance(key, str) and len(key) >= 8 and key.isascii() and key.isalnum()

    def exists(self, session_key: Any) -> bool:
        return self._validate_session_key(session_key) and super().exists(session_key)

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
