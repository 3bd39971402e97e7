"""What is done to operators' accounts: their address is vouched for, sessions end, a lost factor is reset."""

from __future__ import annotations

from collections.abc import Collection

import structlog
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.contrib.admin.models import CHANGE, LogEntry
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from accounts.errors import CannotResetSecondFactor
from accounts.models import User

ACCESS = frozenset({"is_staff", "is_superuser", "is_active"})
RESET = "Reset the second factor: "
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


def settle(*, user: User, changed: Collection[str]) -> None:
    """After a superuser made or changed an account: `changed` names its fields.

    The old address is over; whoever is no operator has to prove the new one. Sessions that were opened with
    other rights end, and those of an account that was switched off don't come back with it.
    """
    if "email" in changed:
        EmailAddress.objects.filter(user=user).exclude(email=user.email).delete()
    vouch(user=user)
    if ACCESS & set(changed):
        end_sessions(user=user)


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
        LogEntry.objects.log_actions(actor.pk, [user], CHANGE, f"{RESET}{reason}")
        transaction.on_commit(lambda: log.warning("second_factor_reset", user_id=user.pk, actor_id=actor.pk))
    return user


def resets_of(user: User) -> QuerySet[LogEntry]:
    """When the person's factor was reset, by whom and why; newest first."""
    entries = LogEntry.objects.filter(object_id=str(user.pk), change_message__startswith=RESET)
    return entries.filter(content_type__app_label="accounts").select_related("user").order_by("-id")
