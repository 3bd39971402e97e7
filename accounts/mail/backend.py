"""Django's e-mail backend while EMAIL_HOST is set: stores each mail as a row of the outbox."""

from __future__ import annotations

from collections.abc import Sequence

from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend

from accounts.mail import outbox


class OutboxBackend(BaseEmailBackend):
    """Stores mails in the caller's transaction, so that after a rollback no mail is sent."""

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        """Stores the mails and returns how many. Raises errors of the database; then nothing is stored."""
        return outbox.store(email_messages)
