"""Prevents changes of a name that is being compared, or was compared, with a document."""

from __future__ import annotations

from accounts import profile
from accounts.models import User
from kyc.models import Case, State
from kyc.models.cases import WAITING

CHECKED = (*WAITING, State.APPROVED)


def register() -> None:
    profile.register(name="kyc", refuse_name=refuse_new_name)


def refuse_new_name(person: User) -> str | None:
    """Returns the reason why the name cannot be changed, or None.

    If names could change after a check, checks would have no value.
    """
    if not Case.objects.filter(person_id=person.pk, state__in=CHECKED).exists():
        return None
    return (
        "Your name is being compared, or was compared, with a document. "
        "Withdraw your waiting case, or ask support to change the name."
    )
