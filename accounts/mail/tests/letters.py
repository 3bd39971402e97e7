"""Sends test mails, and runs workers that send the due ones."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.core.mail import EmailMessage
from django.utils import timezone

from accounts.mail import work
from accounts.mail.about import About
from accounts.models import Mail

CODE = "WXYZ-BCDF"
ADA = "ada@example.com"


def send(*recipients: str, kind: str = "password_reset_code", lifetime: int = 900, **options: Any) -> Mail:
    """The row of a mail with a code; the last, if there are several recipients."""
    message: Any = EmailMessage("Your code", f"Enter {CODE}", to=list(recipients) or [ADA], **options)
    message.about = About(kind, lifetime)
    message.send()
    return Mail.objects.latest("pk")


def run() -> int:
    """A worker that finds everything due that waits."""
    make_due()
    return work.run_due()


def make_due() -> None:
    Mail.objects.filter(state="waiting").update(next_attempt_at=timezone.now())


def time_passes(mail: Mail, seconds: float) -> None:
    """For this mail; nothing becomes due by that."""
    shift = timedelta(seconds=seconds)
    mail.refresh_from_db()
    Mail.objects.filter(pk=mail.pk).update(
        created_at=mail.created_at - shift, expires_at=mail.expires_at - shift
    )


def lease_runs_out(mail: Mail) -> None:
    Mail.objects.filter(pk=mail.pk).update(lease_until=timezone.now())


def state_of(mail: Mail) -> tuple[str, str, int]:
    """State, reason and number of attempts."""
    mail.refresh_from_db()
    return mail.state, mail.last_error, mail.attempt_count
