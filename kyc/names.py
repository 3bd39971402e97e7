"""The name that was compared with a document stays as it was compared."""

from __future__ import annotations

from accounts import profile
from accounts.models import User
from kyc.models import Case, State
from kyc.models.cases import WAITING

CHECKED = (*WAITING, State.APPROVED)


def register() -> None:
    profile.register(name="kyc", refuse_name=refuse_new_name)


def refuse_new_name(person: User) -> str | None:
    """A name that may change after the check would make every check worthless."""
    if not Case.objects.filter(person_id=person.pk, state__in=CHECKED).exists():
        return None
    return (
        "Your name is being compared, or was compared, with a document. "
        "Withdraw the case that waits, or ask support to change the name."
    )
