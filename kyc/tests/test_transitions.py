"""Tests that every (state, event, actor) that is not in the transition table is refused."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from itertools import product
from typing import Any, NamedTuple

import pytest
from django.utils import timezone

from accounts.models import User
from kyc import cases
from kyc.cases.states import TRANSITIONS, Event, Who
from kyc.errors import KycError
from kyc.models import Case, State
from kyc.tests.people import (
    REFUSAL,
    case_in,
    make_approver,
    make_person,
    make_reviewer,
    submission,
)

pytestmark = pytest.mark.django_db


class Cast(NamedTuple):
    """Everybody who may try something; `claimer` has claimed what is in review."""

    person: User
    claimer: User
    other_reviewer: User
    approver: User


def submit(cast: Cast, case: Case) -> object:
    return cases.submit(person=cast.person, **submission())


def resubmit(cast: Cast, case: Case) -> object:
    return cases.resubmit(person=cast.person, public_id=case.public_id, images={})


def withdraw(cast: Cast, case: Case) -> object:
    return cases.withdraw(person=cast.person, public_id=case.public_id)


def expire(cast: Cast, case: Case) -> object:
    """The clock's: a sweep, at the end of the approval."""
    Case.objects.filter(pk=case.pk, expires_at__isnull=False).update(expires_at=case.created_at)
    return cases.expire_due()


def lapse(cast: Cast, case: Case) -> object:
    Case.objects.filter(pk=case.pk, claimed_until__isnull=False).update(claimed_until=case.created_at)
    return cases.lapse_claims()


def by(actor: str, action: Callable[..., Any], **words: str) -> Callable[[Cast, Case], object]:
    name = "actor" if "actor" in signature(action).parameters else "reviewer"
    return lambda cast, case: action(case_id=case.pk, **{name: getattr(cast, actor)}, **words)


def by_provider(action: Callable[..., Any], **words: Any) -> Callable[[Cast, Case], object]:
    return lambda cast, case: action(case_id=case.pk, provider="manual", reason="No match", **words)


def operators(who: Who, actor: str) -> dict[tuple[Event, Who], Callable[[Cast, Case], object]]:
    return {
        (Event.CLAIM, who): by(actor, cases.claim),
        (Event.RELEASE, who): by(actor, cases.release),
        (Event.APPROVE, who): by(actor, cases.approve),
        (Event.REJECT, who): by(actor, cases.reject, **REFUSAL),
        (Event.ASK_FOR_MORE, who): by(actor, cases.ask_for_more, **REFUSAL),
        (Event.REVOKE, who): by(actor, cases.revoke, **REFUSAL),
        (Event.UPHOLD, who): by(actor, cases.uphold, reason="The passport office knows it."),
    }


# Who tries what, by which function. A triple that is missing here has none: nobody can even try.
ATTEMPTS: dict[tuple[Event, Who], Callable[[Cast, Case], object]] = {
    (Event.SUBMIT, Who.PERSON): submit,
    (Event.RESUBMIT, Who.PERSON): resubmit,
    (Event.WITHDRAW, Who.PERSON): withdraw,
    **{(event, Who.PERSON): attempt for (event, _), attempt in operators(Who.PERSON, "person").items()},
    **operators(Who.REVIEWER, "other_reviewer"),
    **operators(Who.CLAIMER, "claimer"),
    **operators(Who.REVOKER, "approver"),
    (Event.APPROVE, Who.PROVIDER): by_provider(cases.decide_by_provider, approved=True),
    (Event.REJECT, Who.PROVIDER): by_provider(cases.decide_by_provider, approved=False),
    (Event.REVOKE, Who.PROVIDER): by_provider(cases.revoke_by_provider),
    (Event.DOUBT, Who.PROVIDER): by_provider(cases.doubt_by_provider),
    (Event.LAPSE, Who.SYSTEM): lapse,
    (Event.EXPIRE, Who.SYSTEM): expire,
}
IN_TABLE = {(row.source, row.event, who) for row in TRANSITIONS.rows for who in row.who}
# The claimer is a reviewer, too.
MAY = IN_TABLE | {(row.source, row.event, Who.CLAIMER) for row in TRANSITIONS.rows if Who.REVIEWER in row.who}
# What begins a new case leaves this one as it is.
BEGINS_ANOTHER = {
    (state, Event.SUBMIT, Who.PERSON)
    for state in (State.APPROVED, State.REJECTED, State.EXPIRED, State.REVOKED)
}
TRIPLES = [(state, event, who) for state, (event, who) in product(State, ATTEMPTS)]


def make_cast() -> Cast:
    return Cast(make_person(), make_reviewer(), make_reviewer(), make_approver())


def seen(case: Case) -> Any:
    kept = Case.objects.filter(pk=case.pk).values("state", "version", "decided_by", "reason", "number_hash")
    return kept.get(), case.events.count(), case.documents.count()


@pytest.mark.parametrize("state", State)
def test_in_each_state_only_what_the_table_lists_succeeds(state: State) -> None:
    """One test a state, with a fresh case for each triple: as many as there are triples would be slow."""
    operators = make_cast()
    for event, who in ATTEMPTS:
        cast = operators._replace(person=make_person())
        case = case_in(state, person=cast.person, reviewer=cast.claimer, approver=cast.approver)
        before = seen(case)
        outcome = attempt(cast, case, event, who)
        case.refresh_from_db()
        if (state, event, who) in MAY:
            row = TRANSITIONS.find(state, event)
            assert row is not None
            assert case.state == row.target, (event, who, outcome)
            assert case.version == case.events.count()
        elif (state, event, who) in BEGINS_ANOTHER:
            assert isinstance(outcome, Case)
            assert outcome.pk != case.pk
            assert seen(case) == before
        else:
            assert isinstance(outcome, KycError) or outcome == 0, (event, who, outcome)
            assert seen(case) == before, (event, who)


def attempt(cast: Cast, case: Case, event: Event, who: Who) -> object:
    try:
        return ATTEMPTS[event, who](cast, case)
    except KycError as error:
        return error


def test_every_row_of_the_table_can_be_tried() -> None:
    assert {(row.event, who) for row in TRANSITIONS.rows for who in row.who} <= set(ATTEMPTS)


def test_no_transition_leaves_an_end_state() -> None:
    assert {row.source for row in TRANSITIONS.rows}.isdisjoint({State.EXPIRED, State.REVOKED})


def test_a_lapsed_claim_stays_with_its_reviewer_until_another_claims() -> None:
    """Half a minute too late is no reason to throw a decision away."""
    cast = make_cast()
    case = case_in(State.IN_REVIEW, person=cast.person, reviewer=cast.claimer, approver=cast.approver)
    Case.objects.filter(pk=case.pk).update(claimed_until=timezone.now())
    assert cases.approve(case_id=case.pk, reviewer=cast.claimer).state == State.APPROVED
