"""Actions of operators on a case: which buttons are shown (from the state machine), and what they do."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import transaction
from django.utils import timezone

from accounts.models import User
from core.errors import Conflict
from kyc import cases
from kyc.badges import STATE_BADGES
from kyc.cases.selectors import same_number
from kyc.cases.states import TRANSITIONS, Event, Who
from kyc.cases.transitions import has_lapsed, lock_case
from kyc.errors import DuplicateNumber, KycError
from kyc.models import Case, State
from kyc.models.cases import BY_PEOPLE
from kyc.roles import REVIEW_CASE, REVOKE_CASE

FOR_THE_PERSON = "Explain it to the account holder, who reads this text."
REASONS = [(code.value, code.label) for code in BY_PEOPLE]


@dataclass(frozen=True, slots=True)
class Action:
    """One button. `key`: its keyboard shortcut. `done`: the message after success.

    With a `question` the button opens a form that asks for a text, with `reasons` also for a code.
    """

    event: Event
    permission: str
    key: str
    icon: str
    label: str
    done: str
    question: str = ""
    reasons: bool = False
    button: str = ""
    tone: str = ""

    @property
    def url_name(self) -> str:
        return f"admin:kyc_case_{self.event}"


ACTIONS = {
    action.event: action
    for action in (
        Action(Event.CLAIM, REVIEW_CASE, "c", "back_hand", "Claim", "Claimed by you.", tone="primary"),
        Action(
            Event.APPROVE,
            REVIEW_CASE,
            "a",
            "verified",
            "Approve",
            "Approved.",
            question="Note for the record (optional)",
            button="Approve",
            tone="primary",
        ),
        Action(
            Event.REJECT,
            REVIEW_CASE,
            "r",
            "block",
            "Reject",
            "Rejected.",
            question=FOR_THE_PERSON,
            reasons=True,
            button="Reject",
            tone="danger",
        ),
        Action(
            Event.ASK_FOR_MORE,
            REVIEW_CASE,
            "m",
            "contact_support",
            "Ask for more",
            "Sent back to the account holder.",
            question=FOR_THE_PERSON,
            reasons=True,
            button="Send back",
        ),
        Action(
            Event.RELEASE,
            REVIEW_CASE,
            "u",
            "front_hand",
            "Release",
            "Released for other reviewers.",
        ),
        Action(
            Event.REVOKE,
            REVOKE_CASE,
            "v",
            "gpp_bad",
            "Revoke",
            "Revoked. The approval no longer counts.",
            question=FOR_THE_PERSON,
            reasons=True,
            button="Revoke the approval",
            tone="danger",
        ),
        Action(
            Event.UPHOLD,
            REVOKE_CASE,
            "h",
            "verified_user",
            "Uphold",
            "Upheld. The approval stays valid.",
            question="What did you check? (for the record; the account holder does not see it)",
            button="Uphold the approval",
        ),
    )
}


class CaseChanged(KycError, Conflict):
    """The form was opened for an earlier version of the case."""

    code = "case_moved_on"

    def __init__(self, case: Case) -> None:
        now = STATE_BADGES[State(case.state)][2].lower()
        super().__init__(
            f"Nothing was changed, because the case has changed since you opened it. It is now “{now}”."
        )


def parts_of(user: User, case: Case) -> set[Who]:
    """Returns the parts (see the transition table) in which the user may act on the case."""
    if case.person_id == user.pk:
        return set()
    parts: set[Who] = set()
    if user.has_perm(REVIEW_CASE):
        parts |= {Who.REVIEWER} | ({Who.CLAIMER} if case.claimed_by_id == user.pk else set())
    if user.has_perm(REVOKE_CASE):
        parts.add(Who.REVOKER)
    return parts


def offered(user: User, case: Case) -> list[Action]:
    """Returns the actions that the user can take now, in the order of ACTIONS."""
    taken_over = has_lapsed(case, timezone.now()) and case.claimed_by_id != user.pk
    state = State.SUBMITTED if taken_over else State(case.state)
    possible = {event for who in parts_of(user, case) for event in TRANSITIONS.events_for(state, who)}
    if not case.doubted_at:
        possible.discard(Event.UPHOLD)  # allowed, but useless without a doubt
    return [action for event, action in ACTIONS.items() if event in possible]


def decide(
    *,
    event: Event,
    case_id: int,
    actor: User,
    version: str,
    saw_duplicate: bool = False,
    reason_code: str = "",
    reason: str = "",
) -> None:
    """Applies the event if the case still has the `version` that the operator saw.

    Raises CaseChanged otherwise, and the errors of the case's services. A duplicate number can be approved
    only if the form showed it (`saw_duplicate`), because a new duplicate does not change the version.
    """
    with transaction.atomic():
        case = lock_case(case_id)
        if str(case.version) != version:
            raise CaseChanged(case)
        if event == Event.APPROVE and not saw_duplicate and same_number(case).exists():
            raise DuplicateNumber
        carry_out(event, case_id, actor, reason_code, reason)


def carry_out(event: Event, case_id: int, actor: User, reason_code: str, reason: str) -> None:
    match event:
        case Event.CLAIM:
            cases.claim(case_id=case_id, reviewer=actor)
        case Event.RELEASE:
            cases.release(case_id=case_id, reviewer=actor)
        case Event.APPROVE:
            cases.approve(case_id=case_id, reviewer=actor, reason=reason)
        case Event.REJECT:
            cases.reject(case_id=case_id, reviewer=actor, reason_code=reason_code, reason=reason)
        case Event.ASK_FOR_MORE:
            cases.ask_for_more(case_id=case_id, reviewer=actor, reason_code=reason_code, reason=reason)
        case Event.REVOKE:
            cases.revoke(case_id=case_id, actor=actor, reason_code=reason_code, reason=reason)
        case Event.UPHOLD:
            cases.uphold(case_id=case_id, actor=actor, reason=reason)
        case _:
            raise ValueError(f"{event} is not an action of operators.")
