"""What is done to operators' accounts: their address is vouched for, sessions end, a lost factor is reset."""

from __future__ import annotations

import structlog
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.contrib.admin.models import CHANGE, LogEntry
from django.db import transaction
from django.utils import timezone

from accounts.errors import CannotResetSecondFactor
from accounts.models import User

log = structlog.get_logger(__name__)


def vouch(*, user: User) -> None:
    """Counts the operator's address as verified: a superuser gave it, or somebody with a shell.

    Other people prove their address with a code; without this an operator would be asked for one.
    """
    rows = EmailAddress.objects.filter(user=user)
    if user.is_staff and not rows.filter(email=user.email, verified=True, primary=True).exists():
        with transaction.atomic():
            rows.exclude(email=user.email).delete()
            rows.update_or_create(user=user, email=user.email, defaults={"verified": True, "primary": True})


def follow_address(*, user: User) -> None:
    """After a superuser changed an address: the old one is over; a buyer has to prove the new one."""
    EmailAddress.objects.filter(user=user).exclude(email=user.email).delete()
    vouch(user=user)


def end_sessions(*, user: User) -> None:
    """Signs the person out everywhere, in browsers and apps."""
    user.sessions_from = timezone.now()
    user.save(update_fields=["sessions_from"])


def reset_second_factor(*, user_id: int, actor: User, reason: str) -> User:
    """For a lost telephone or key: no factor is left, every session is over, the next sign-in asks to enrol.

    Only superusers, not for themselves: whoever took over one account must not be able to unlock it.
    """
    reason = reason.strip()
    with transaction.atomic():
        user = User.objects.select_for_update().get(pk=user_id)
        if not actor.is_active or not actor.is_superuser:
            raise CannotResetSecondFactor("Only a superuser resets somebody's second factor.")
        if user.pk == actor.pk:
            raise CannotResetSecondFactor("Your own second factor is reset by another superuser.")
        if not reason:
            raise CannotResetSecondFactor("Say why the second factor is reset.")
        removed, _ = Authenticator.objects.filter(user=user).delete()
        if not removed:
            raise CannotResetSecondFactor("This account has no second factor.")
        end_sessions(user=user)
        LogEntry.objects.log_actions(actor.pk, [user], CHANGE, f"Reset the second factor: {reason}")
        transaction.on_commit(lambda: log.warning("second_factor_reset", user_id=user.pk, actor_id=actor.pk))
    return user
