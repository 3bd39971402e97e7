"""Tests invariants of cases with random sequences of events of several actors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any, ClassVar

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from accounts.models import User
from kyc import cases
from kyc.cases.selectors import is_current
from kyc.cases.states import TRANSITIONS, Event
from kyc.document_types import missing_images
from kyc.errors import KycError
from kyc.models import Case, DocumentType, Side, State
from kyc.models.cases import OPEN, WAITING
from kyc.tests.people import REFUSAL, make_approver, make_person, make_reviewer, picture, submission
from kyc.tiers import tier_of

PAPERS = st.sampled_from(
    [("nin", f"{number}2345678901"[:11]) for number in range(4)] + [("passport", "A00000001")]
)
WHICH = st.sampled_from([None, None, None, 0, 1, 2])  # mostly one for which the event is meant
ACTORS = st.sampled_from(["right", "right", "right", "second", "both"])
DECISIONS = (cases.claim, cases.release, cases.approve)
REFUSALS = (cases.reject, cases.ask_for_more)
begun = precondition(lambda machine: machine.begun)


class CaseMachine(RuleBasedStateMachine):
    """The last of the people reviews and approves as well, and would like to do so for themselves."""

    tried: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.begun = False
        self.approver = make_approver()
        both = make_reviewer()
        both.groups.add(*self.approver.groups.all())
        self.people = [make_person(), make_person(), both]
        self.reviewers = {"right": make_reviewer(), "second": make_reviewer(), "both": both}

    def all_cases(self) -> list[Case]:
        found = Case.objects.filter(person__in=self.people).order_by("-pk")
        return list(found.select_related("person", "claimed_by").prefetch_related("events", "documents"))

    def some_case(self, number: int | None, *meant: State) -> Case:
        """Counted from the newest; or, without a number, the newest in one of the states that are meant."""
        found = self.all_cases()
        if number is None:
            return next((case for case in found if case.state in meant), found[0])
        return found[number % len(found)]

    def owner(self, case: Case, who: str) -> User:
        return case.person if who == "right" else self.people[2 if who == "both" else 1]

    def reviewer(self, case: Case, who: str) -> User:
        claimer = case.claimed_by if who == "right" else None
        return claimer or self.reviewers[who]

    def attempt(self, action: Callable[..., object], **arguments: Any) -> None:
        try:
            action(**arguments)
        except KycError as error:
            self.tried[error.code] += 1
        else:
            self.tried[getattr(action, "__name__", "")] += 1

    @rule(who=st.integers(0, 2), paper=PAPERS)
    def submit(self, who: int, paper: tuple[str, str]) -> None:
        document_type, number = paper
        words = submission(document_type=document_type, number=number)
        self.attempt(cases.submit, person=self.people[who], **words)
        self.begun = True

    @begun
    @rule(who=ACTORS, which=WHICH)
    def resubmit(self, who: str, which: int | None) -> None:
        case = self.some_case(which, State.REJECTED)
        images = {Side.SELFIE: picture("selfie")}
        self.attempt(cases.resubmit, person=self.owner(case, who), public_id=case.public_id, images=images)

    @begun
    @rule(who=ACTORS, which=WHICH)
    def withdraw(self, who: str, which: int | None) -> None:
        case = self.some_case(which, *WAITING)
        self.attempt(cases.withdraw, person=self.owner(case, who), public_id=case.public_id)

    @begun
    @rule(action=st.sampled_from(DECISIONS), who=ACTORS, which=WHICH, reason=st.sampled_from(["", "x"]))
    def review(self, action: Callable[..., object], who: str, which: int | None, reason: str) -> None:
        words = {"reason": reason} if action is cases.approve else {}
        meant = State.SUBMITTED if action is cases.claim else State.IN_REVIEW
        case = self.some_case(which, meant)
        self.attempt(action, case_id=case.pk, reviewer=self.reviewer(case, who), **words)

    @begun
    @rule(who=ACTORS, which=WHICH)
    def claim(self, who: str, which: int | None) -> None:
        self.review(cases.claim, who, which, "")

    @begun
    @rule(action=st.sampled_from([cases.approve, *REFUSALS]), which=WHICH, reason=st.sampled_from(["", "x"]))
    def claim_and_decide(self, action: Callable[..., object], which: int | None, reason: str) -> None:
        """Together more often than chance would have it: decisions are what most rules are about."""
        case = self.some_case(which, State.SUBMITTED)
        words = {"reason": reason} if action is cases.approve else REFUSAL
        self.attempt(cases.claim, case_id=case.pk, reviewer=self.reviewers["right"])
        self.attempt(action, case_id=case.pk, reviewer=self.reviewers["right"], **words)

    @begun
    @rule(action=st.sampled_from(REFUSALS), who=ACTORS, which=WHICH)
    def refuse(self, action: Callable[..., object], who: str, which: int | None) -> None:
        case = self.some_case(which, State.IN_REVIEW)
        self.attempt(action, case_id=case.pk, reviewer=self.reviewer(case, who), **REFUSAL)

    @begun
    @rule(who=st.sampled_from(["approver", "both"]), which=WHICH)
    def revoke(self, who: str, which: int | None) -> None:
        actor = self.approver if who == "approver" else self.people[-1]
        case = self.some_case(which, State.APPROVED)
        self.attempt(cases.revoke, case_id=case.pk, actor=actor, **REFUSAL)

    @begun
    @rule(who=st.sampled_from(["approver", "both"]), which=WHICH)
    def uphold(self, who: str, which: int | None) -> None:
        actor = self.approver if who == "approver" else self.people[-1]
        case = self.some_case(which, State.APPROVED)
        self.attempt(cases.uphold, case_id=case.pk, actor=actor, reason="x")

    @begun
    @rule(which=WHICH, word=st.sampled_from(["yes", "no", "reversed", "doubted"]))
    def provider(self, which: int | None, word: str) -> None:
        late = {"reversed": cases.revoke_by_provider, "doubted": cases.doubt_by_provider}
        meant = State.APPROVED if word in late else State.SUBMITTED
        words = {"case_id": self.some_case(which, meant).pk, "provider": "manual", "reason": word}
        if word in late:
            self.attempt(late[word], **words)
        else:
            self.attempt(cases.decide_by_provider, **words, approved=word == "yes")

    @begun
    @rule(which=WHICH)
    def time_passes(self, which: int | None) -> None:
        past = timezone.now() - timedelta(seconds=1)
        case = self.some_case(which, State.IN_REVIEW, State.APPROVED)
        Case.objects.filter(pk=case.pk, expires_at__isnull=False).update(expires_at=past)
        Case.objects.filter(pk=case.pk, claimed_until__isnull=False).update(claimed_until=past)
        self.tried["expired"] += cases.expire_due()
        self.tried["lapsed"] += cases.lapse_claims()

    @invariant()
    def every_rule_holds(self) -> None:
        """All of them over one look at the rows: a look for each would take most of the time."""
        found = self.all_cases()
        one_case_is_open_and_one_of_a_type_approved(found)
        a_number_stands_for_two_people_only_with_a_reason(found)
        for case in found:
            history_has_no_gap_and_goes_along_the_table(case)
            nobody_decided_on_their_own_case(case)
            what_waits_or_stands_has_its_images(case)
        for person in self.people:
            a_tier_comes_from_standing_approvals(person, found)


def one_case_is_open_and_one_of_a_type_approved(found: list[Case]) -> None:
    open_cases = Counter(case.person_id for case in found if case.state in OPEN)
    approvals = Counter((case.person_id, case.document_type) for case in standing(found))
    assert max([*open_cases.values(), *approvals.values(), 0]) <= 1


def a_number_stands_for_two_people_only_with_a_reason(found: list[Case]) -> None:
    without_reason = Counter(case.number_hash for case in standing(found) if not case.reason)
    assert max([*without_reason.values(), 0]) <= 1


def history_has_no_gap_and_goes_along_the_table(case: Case) -> None:
    events = list(case.events.all())
    assert case.version == len(events)
    state: str = State.DRAFT
    for event in events:
        row = TRANSITIONS.find(state, Event(event.event))
        assert row is not None
        assert (event.from_state, event.to_state) == (state, row.target)
        state = event.to_state
    assert state == case.state


def nobody_decided_on_their_own_case(case: Case) -> None:
    assert case.person_id not in {case.decided_by_id, case.claimed_by_id}
    own = {event.event for event in case.events.all() if event.actor_id == case.person_id}
    assert own <= {"submit", "resubmit", "withdraw"}


def what_waits_or_stands_has_its_images(case: Case) -> None:
    current = {Side(image.side) for image in case.documents.all() if is_current(image)}
    if case.state != State.DRAFT:
        assert missing_images(DocumentType(case.document_type), current) == []


def a_tier_comes_from_standing_approvals(person: User, found: list[Case]) -> None:
    types = {case.document_type for case in standing(found) if case.person_id == person.pk}
    assert tier_of(person_id=person.pk) == (len(types) if "nin" in types else 0)


def standing(found: list[Case]) -> list[Case]:
    now = timezone.now()
    return [
        case for case in found if case.state == State.APPROVED and case.expires_at and case.expires_at > now
    ]


# A machine that never gets so far shows nothing. What is rarer than these is in test_transitions.py.
MUST_HAPPEN = {"submit", "withdraw", "claim", "approve", "case_open", "own_case", "not_in_this_state"}


@pytest.mark.django_db
def test_any_sequence_of_events_keeps_the_invariants() -> None:
    run_state_machine_as_test(
        CaseMachine,
        settings=settings(
            max_examples=12,
            stateful_step_count=25,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert {what for what in MUST_HAPPEN if not CaseMachine.tried[what]} == set(), CaseMachine.tried
