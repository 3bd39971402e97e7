"""Whose e-mail address is whose."""

from __future__ import annotations

from allauth.account.models import EmailAddress

from accounts.models import User


def has_proved(*, user: User, email: str) -> bool:
    """Whether mail to this address has reached the person, or a superuser vouched for it."""
    return bool(EmailAddress.objects.filter(user=user, email=email, verified=True).exists())
