"""Django's e-mail backend while EMAIL_HOST is set: sending a mail writes a row."""

from __future__ import annotations

from collections.abc import Sequence

from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend

from accounts.mail import outbox


class OutboxBackend(BaseEmailBackend):
    """Stores mails in the caller's transaction, so a mail of what was rolled back never leaves."""

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        """Stores each mail and returns how many. Raises the database's errors; nothing is stored then."""
        return outbox.store(email_messages)
