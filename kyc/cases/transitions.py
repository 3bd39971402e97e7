"""How a case changes its state: locked, along the table of states.py, with an event row that says who.

One locking order everywhere: the person, then their cases. So no two changes of one person's cases run at
once, and nothing waits in a circle.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from accounts.models import User
from core.states import By, Transition, move
from kyc.cases.states import TRANSITIONS, Event, Who
from kyc.errors import CaseNotFound, ClaimedByAnother, NotAllowed, NotInThisState, OwnCase
from kyc.models import Case, State

# What a step ends unless it says otherwise: a claim, and a doubt.
RESET: dict[str, Any] = {"claimed_by_id": None, "claimed_until": None, "doubted_at": None}


class Reason(NamedTuple):
    """A code for programs and words for the person to read."""

    reason_code: str = ""
    reason: str = ""


SYSTEM = By(Who.SYSTEM)
NO_REASON = Reason()


def lock_person(person_id: int) -> User:
    """Without the row's key, so that rows which refer to the person can still be written."""
    return User.objects.select_for_update(no_key=True).get(pk=person_id)


def lock_case(case_id: int) -> Case:
    """The case, after its person. Raises CaseNotFound."""
    person_id = Case.objects.filter(pk=case_id).values_list("person_id", flat=True).first()
    if person_id is None:
        raise CaseNotFound
    lock_person(person_id)
    return Case.objects.select_for_update(no_key=True).get(pk=case_id)


def lock_for_operator(case_id: int, operator: User, permission: str) -> Case:
    """The case, if `operator` may decide on it. Nobody may on their own, not even a superuser."""
    if not operator.has_perm(permission):
        raise NotAllowed
    case = lock_case(case_id)
    if case.person_id == operator.pk:
        raise OwnCase
    return case


def require(case: Case, event: Event, by: By, why: str = "") -> Transition[State, Event, Who]:
    """The table's row for this step. Raises NotInThisState, or ClaimedByAnother."""
    transition = TRANSITIONS.find(case.state, event)
    if transition is None or by.who not in transition.who:
        raise NotInThisState(case.state, event, why)
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
    """The step itself, on a locked case in the caller's transaction. `fields`: what changes beside the state.

    `reason` goes to the event's row and to the case; None leaves the case's last one, and `note` is then what
    the event's row says. Only a claim keeps a claimer.
    """
    transition = require(case, event, by)
    changed = {**RESET, **fields}
    if reason is not None:
        changed |= reason._asdict()
    move(case, transition, by, changed, case.events, **(reason or Reason(reason=note))._asdict())
    return case
