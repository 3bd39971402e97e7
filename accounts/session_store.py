"""Django's sessions in the database, which asks for no key that it can't have made.

A cookie or a token with a NUL in it would otherwise reach PostgreSQL, and every stranger could cause a 500.
"""

from __future__ import annotations

from typing import Any

from django.contrib.sessions.backends.db import SessionStore as DatabaseStore


class SessionStore(DatabaseStore):
    def _validate_session_key(self, key: Any) -> bool:
        """What Django asks of a key (8 characters or more), and that they are of its own alphabet."""
        return isinstance(key, str) and len(key) >= 8 and key.isascii() and key.isalnum()

    def exists(self, session_key: Any) -> bool:
        return self._validate_session_key(session_key) and super().exists(session_key)
