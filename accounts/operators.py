"""Changes to operators' accounts: verify the address, end sessions, reset a lost second factor."""

from __future__ import annotations

from collections.abc import Collection

import structlog
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.contrib.admin.models import CHANGE, LogEntry
from django.db import transaction
from django.db.models import QuerySet

from accounts.account_state import end_sessions
from accounts.errors import CannotResetSecondFactor
from accounts.models import User

ACCESS = frozenset({"is_staff", "is_superuser", "is_active"})
RESET = "Reset the second factor: "
log = structlog.get_logger(__name__)


def verify_address(*, user: User) -> None:
    """Marks an operator's address as verified: a superuser, or an administrator with a shell, set it.

    Otherwise django-allauth would ask the operator for a code. Does nothing for users who are not operators:
    they verify their address with a code.
    """
    rows = EmailAddress.objects.filter(user=user)
    if user.is_staff and not rows.filter(email=user.email, verified=True, primary=True).exists():
        with transaction.atomic():
            rows.exclude(email=user.email).delete()
            rows.update_or_create(user=user, email=user.email, defaults={"verified": True, "primary": True})


def apply_change(*, user: User, changed: Collection[str]) -> None:
    """Updates addresses and sessions after a superuser created or changed an account.

    `changed` has the names of the changed fields. A new e-mail address replaces the old one; a user who is
    not an operator has to verify it. A new address and a change of access rights end all sessions, so that an
    account that is switched off and on again has none left.
    """
    if "email" in changed:
        EmailAddress.objects.filter(user=user).exclude(email=user.email).delete()
    verify_address(user=user)
    if (ACCESS | {"email"}) & set(changed):
        end_sessions(user)


def reset_second_factor(*, user_id: int, actor: User, reason: str) -> User:
    """Removes all second factors of a user who lost them, and ends all sessions. Returns the user.

    The next sign-in asks for a new factor. Only superusers may do this, and not for their own account: an
    attacker in a superuser's session must not be able to remove the factor. Raises CannotResetSecondFactor
    if the actor may not do it, the reason is empty or there is no factor, and User.DoesNotExist.
    """
    reason = reason.strip()
    with transaction.atomic():
        user = User.objects.select_for_update().get(pk=user_id)
        if not actor.is_active or not actor.is_superuser:
            raise CannotResetSecondFactor("Only a superuser can reset a second factor.")
        if user.pk == actor.pk:
            raise CannotResetSecondFactor("Ask another superuser to reset your own second factor.")
        if not reason:
            raise CannotResetSecondFactor("Say why the second factor is reset.")
        removed, _ = Authenticator.objects.filter(user=user).delete()
        if not removed:
            raise CannotResetSecondFactor("This account has no second factor.")
        LogEntry.objects.log_actions(actor.pk, [user], CHANGE, f"{RESET}{reason}")
        transaction.on_commit(lambda: log.warning("second_factor_reset", user_id=user.pk, actor_id=actor.pk))
    return user


def resets_of(user: User) -> QuerySet[LogEntry]:
    """Returns the log entries of the user's factor resets (time, actor, reason), newest first."""
    entries = LogEntry.objects.filter(object_id=str(user.pk), change_message__startswith=RESET)
    return entries.filter(content_type__app_label="accounts").select_related("user").order_by("-id")
