"""A person leaves: every trace of who they were goes, the row stays for what refers to it.

Other apps say why somebody must stay for now, and delete what they keep.
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

log = structlog.get_logger(__name__)

Refuse = Callable[[User], str | None]
Erase = Callable[[User], None]


@dataclass(frozen=True)
class Keeper:
    """What one app has to say when somebody leaves."""

    refuse: Refuse | None
    erase: Erase | None


keepers: dict[str, Keeper] = {}


def register(*, name: str, refuse: Refuse | None = None, erase: Erase | None = None) -> None:
    """Called from an app's `ready()`. Both functions run inside the transaction of the erasure.

    `refuse(person)`: why the account must stay now, as a sentence for the person, else None.
    `erase(person)`: deletes what the app keeps; what lies outside the database goes in `on_commit`.
    """
    keepers[name] = Keeper(refuse, erase)


def erase_account(*, user_id: int) -> User:
    """Anonymises the person for good. Raises OperatorsStay or CannotErase; then nothing is changed.

    The row is locked: whoever writes something new for the person (a case, a payment) must lock it too, and
    refuse when `is_active` is off.
    """
    with transaction.atomic():
        person = User.objects.select_for_update().get(pk=user_id)
        if person.erased_at is not None:
            return person  # by another request at the same time
        if person.is_staff or person.is_superuser:
            raise OperatorsStay
        if reasons := reasons_to_stay(person):
            raise CannotErase(reasons)
        for keeper in keepers.values():
            if keeper.erase is not None:
                keeper.erase(person)
        outbox.forget(person)
        forget_sign_in(person)
        anonymise(person)
        anonymise_log(person)
        transaction.on_commit(lambda: log.info("account_erased", user_id=user_id))
        return person


def reasons_to_stay(person: User) -> list[str]:
    answers = (keeper.refuse(person) for keeper in keepers.values() if keeper.refuse is not None)
    return [reason for reason in answers if reason]


def forget_sign_in(person: User) -> None:
    """Sessions that are not listed end with the password, on which their hash depends."""
    for session in UserSession.objects.filter(user=person):
        session.end()
    EmailAddress.objects.filter(user=person).delete()
    Authenticator.objects.filter(user=person).delete()
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
    """The admin's log of what was done to the account stays; it calls the account what it is called now."""
    account = ContentType.objects.get_for_model(User)
    LogEntry.objects.filter(content_type=account, object_id=str(person.pk)).update(object_repr=str(person))
