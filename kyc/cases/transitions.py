"""Locks cases, and applies transitions of the table in states.py with an event row for each.

All code locks in the same order: the person, then their cases. So changes of one person's cases run one after
another, without deadlocks.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from accounts.models import User
from core.encryption import encrypt
from core.states import By, Transition, move
from kyc.cases.states import TRANSITIONS, Event, Who
from kyc.errors import CaseNotFound, ClaimedByAnother, NotAllowed, NotInThisState, OwnCase
from kyc.models import Case, CaseEvent, CaseEventText, State

# Fields that each transition resets, unless it sets them: claim and doubt.
RESET: dict[str, Any] = {"claimed_by_id": None, "claimed_until": None, "doubted_at": None}


class Reason(NamedTuple):
    """A code for programs and a text for the account holder."""

    reason_code: str = ""
    reason: str = ""


SYSTEM = By(Who.SYSTEM)
NO_REASON = Reason()


def lock_person(person_id: int) -> User:
    """Locks the person FOR NO KEY UPDATE, so that rows that refer to the person can be inserted."""
    return User.objects.select_for_update(no_key=True).get(pk=person_id)


def lock_case(case_id: int) -> Case:
    """Locks the person, then the case, and returns the case. Raises CaseNotFound."""
    person_id = Case.objects.filter(pk=case_id).values_list("person_id", flat=True).first()
    if person_id is None:
        raise CaseNotFound
    lock_person(person_id)
    return Case.objects.select_for_update(no_key=True).get(pk=case_id)


def lock_for_operator(case_id: int, operator: User, permission: str) -> Case:
    """Locks and returns the case. Raises NotAllowed without the permission, OwnCase for one's own case.

    A superuser cannot decide on their own case either.
    """
    if not operator.has_perm(permission):
        raise NotAllowed
    case = lock_case(case_id)
    if case.person_id == operator.pk:
        raise OwnCase
    return case


def require(case: Case, event: Event, by: By) -> Transition[State, Event, Who]:
    """Returns the transition. Raises NotInThisState or ClaimedByAnother."""
    transition = TRANSITIONS.allowed(case.state, event, by)
    if transition is None:
        raise NotInThisState(case.state, event)
    if by.who == Who.CLAIMER:
        refuse_anothers_claim(case, by.actor_id)
    return transition


def refuse_anothers_claim(case: Case, actor_id: int | None) -> None:
    if case.claimed_until and case.claimed_by_id != actor_id:
        raise ClaimedByAnother(case.claimed_until)


def has_lapsed(case: Case, now: datetime) -> bool:
    return case.state == State.IN_REVIEW and case.claimed_until is not None and case.claimed_until <= now


def change(
    case: Case, event: Event, by: By, *, reason: Reason | None = None, note: str = "", **fields: Any
) -> Case:
    """Applies the event to a locked case, in the caller's transaction, and returns the case.

    `fields` are further fields to change. `reason` is stored in the case and with the event; if it is None,
    the case keeps its reason and `note` is stored with the event. Raises the errors of `require`.
    """
    transition = require(case, event, by)
    changed = {**RESET, **fields}
    if reason is not None:
        changed |= reason._asdict()
    code, text = reason or Reason(reason=note)
    write_about(move(case, transition, by, changed, case.events, reason_code=code), text)
    return case


def write_about(event: CaseEvent, text: str) -> None:
    """Stores the text in a row beside the event, where it can be deleted."""
    if text:
        CaseEventText.objects.create(event=event, encrypted=encrypt(text.encode()))
