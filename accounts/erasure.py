"""Erases an account: deletes the personal data and keeps the anonymous row, which other rows refer to.

Other apps register hooks that can refuse the erasure for now, and that delete their own data.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import structlog
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.utils import timezone

from accounts.errors import CannotErase, OperatorsStay
from accounts.mail import outbox
from accounts.models import User
from accounts.operators import RESET
from accounts.sessions import forget_pending

log = structlog.get_logger(__name__)

Refuse = Callable[[User], str | None]
Erase = Callable[[User], None]


@dataclass(frozen=True)
class Hooks:
    """The functions that one app registered, see `register`."""

    refuse: Refuse | None
    erase: Erase | None


hooks_by_app: dict[str, Hooks] = {}


def register(*, name: str, refuse: Refuse | None = None, erase: Erase | None = None) -> None:
    """Registers the hooks of an app; to be called in its `ready()`.

    Both functions run inside the transaction of the erasure.
    `refuse(person)` returns the reason why the account cannot be erased now, a sentence for the account
    holder, or None. `erase(person)` deletes the app's data of the person; data outside the database must be
    deleted in `on_commit`.
    """
    hooks_by_app[name] = Hooks(refuse, erase)


def erase_account(*, user_id: int) -> User:
    """Anonymises the account permanently and returns it. Does nothing if it is erased already.

    Raises OperatorsStay or CannotErase; then nothing is changed.

    Locks the row. Code that writes new data of a person (a case, a payment) must lock it too, and refuse if
    `is_active` is False.
    """
    with transaction.atomic():
        person = User.objects.select_for_update().get(pk=user_id)
        if person.erased_at is not None:
            return person  # erased by a concurrent request
        if person.is_staff or person.is_superuser:
            raise OperatorsStay
        if reasons := reasons_to_refuse(person):
            raise CannotErase(reasons)
        for hooks in hooks_by_app.values():
            if hooks.erase is not None:
                hooks.erase(person)
        outbox.forget(person)
        forget_pending(person)
        delete_sign_in_data(person)
        anonymise(person)
        anonymise_log(person)
        transaction.on_commit(lambda: log.info("account_erased", user_id=user_id))
        return person


def reasons_to_refuse(person: User) -> list[str]:
    reasons = (hooks.refuse(person) for hooks in hooks_by_app.values() if hooks.refuse is not None)
    return [reason for reason in reasons if reason]


def delete_sign_in_data(person: User) -> None:
    """Deletes sessions, addresses, second factors and permissions.

    Sessions without a UserSession row end too: their hash depends on the password, which is removed.
    """
    # First, because it writes to the session of the request, which must still be there.
    Authenticator.objects.filter(user=person).delete()
    for session in UserSession.objects.filter(user=person):
        session.end()
    EmailAddress.objects.filter(user=person).delete()
    person.groups.clear()
    person.user_permissions.clear()


def anonymise(person: User) -> None:
    person.email = f"erased-{person.pk}@erased.invalid"
    person.full_name = person.phone_number = person.country = ""
    person.is_active = False
    person.erased_at = person.sessions_from = timezone.now()
    person.last_login = None
    person.set_unusable_password()
    person.save()


def anonymise_log(person: User) -> None:
    """Replaces the account's old name in the admin's log, and what superusers wrote; the entries stay."""
    account = ContentType.objects.get_for_model(User)
    entries = LogEntry.objects.filter(content_type=account, object_id=str(person.pk))
    entries.update(object_repr=str(person))
    entries.filter(change_message__startswith=RESET).update(change_message=RESET)
