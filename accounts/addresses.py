"""Answers whether a user has verified an e-mail address."""

from __future__ import annotations

from allauth.account.models import EmailAddress

from accounts.models import User


def has_verified(*, user: User, email: str) -> bool:
    """Returns True if the user entered a code sent to this address, or a superuser set the address."""
    return bool(EmailAddress.objects.filter(user=user, email=email, verified=True).exists())
