"""Tests that every (state, event, actor) that is not in the tables is refused, in Python and by SQL.

All of it with the role of the application, which web, worker and beat have, too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from django.db import DatabaseError, connection, transaction
from django.db.models import Model

from accounts.models import User
from core.errors import AmaniError
from core.states import TransitionTable
from escrow import escrows
from escrow.escrows.tests.deals import (
    Deal,
    books,
    draft,
    due,
    escrow_in,
    make_freezer,
    make_party,
    milestone_in,
    pay,
    verify,
)
from escrow.escrows.transitions import parts_of
from escrow.models import Escrow, EscrowEvent, Milestone, MilestoneEvent
from escrow.states import (
    ENDS,
    FREEZABLE,
    HOLDS_ALL,
    MILESTONE_ENDS,
    MILESTONE_TRANSITIONS,
    TRANSITIONS,
    Event,
    MilestoneState,
    MilestoneStep,
    State,
    Who,
)

pytestmark = [pytest.mark.usefixtures("as_the_application"), pytest.mark.django_db]


class Cast(NamedTuple):
    deal: Deal
    operator: User
    stranger: User


PEOPLE = ("buyer", "seller", "operator", "stranger")


def person(cast: Cast, name: str) -> User:
    people = {
        "buyer": cast.deal.buyer,
        "seller": cast.deal.seller,
        "operator": cast.operator,
        "stranger": cast.stranger,
    }
    return people[name]


def parts(cast: Cast, name: str) -> frozenset[Who]:
    if name == "operator":
        return frozenset({Who.OPERATOR})
    return parts_of(cast.deal.escrow, person(cast, name))


# --- Escrows: what each person can call, and which step it takes in which state ---

Attempt = Callable[[Cast, User], object]


def by_party(action: Callable[..., object], **words: Any) -> Attempt:
    return lambda cast, actor: action(actor=actor, public_id=cast.deal.escrow.public_id, **words)


def agree(cast: Cast, actor: User) -> object:
    public_id, terms_hash = cast.deal.escrow.public_id, cast.deal.terms_hash
    return escrows.agree(actor=actor, public_id=public_id, terms_hash=terms_hash)


def freeze(cast: Cast, actor: User) -> object:
    return escrows.freeze(escrow_id=cast.deal.escrow.pk, operator=actor, reason="A complaint.")


def propose(cast: Cast, actor: User) -> object:
    return escrows.propose_draft(
        actor=actor, public_id=cast.deal.escrow.public_id, other_id=cast.deal.seller.pk
    )


ATTEMPTS: dict[Event, Attempt] = {
    Event.REWRITE: by_party(escrows.rewrite_draft, draft=draft(1_000_000)),
    Event.PROPOSE: propose,
    Event.COUNTER_PROPOSE: by_party(escrows.counter_propose, draft=draft(1_000_000)),
    Event.AGREE: agree,
    Event.CANCEL: by_party(escrows.cancel),
    Event.FREEZE: freeze,
}


@pytest.mark.parametrize("state", [state for state in State if state != State.AGREED])
def test_in_each_state_of_an_escrow_only_what_the_table_lists_succeeds(state: State) -> None:
    """One deal a state; what an attempt does is rolled back before the next one."""
    cast = Cast(escrow_in(state), make_freezer(), make_party())
    for event, attempt in ATTEMPTS.items():
        for name in PEOPLE:
            with transaction.atomic():
                outcome = tried(attempt, cast, person(cast, name))
                expected = Event.ASK_CANCEL if event == Event.CANCEL and state in HOLDS_ALL else event
                judge(cast, TRANSITIONS, state, expected, name, outcome)
                transaction.set_rollback(True)


def tried(attempt: Callable[..., object], cast: Cast, actor: User) -> object:
    try:
        with transaction.atomic():
            return attempt(cast, actor)
    except AmaniError as error:
        return error


def judge(
    cast: Cast, table: TransitionTable[Any, Any, Any], state: State, event: Event, name: str, outcome: object
) -> None:
    row = table.find(state, event)
    before = cast.deal.escrow
    now = Escrow.objects.get(pk=before.pk)
    if row is not None and row.who & parts(cast, name):
        assert not isinstance(outcome, AmaniError), (state, event, name, outcome)
        last = now.events.filter(event=event).last()
        assert last is not None
        assert (last.from_state, last.to_state) == (state, row.target)
        assert now.version == now.events.count()
    else:
        assert isinstance(outcome, AmaniError), (state, event, name)
        assert (now.state, now.version, now.terms_id) == (state, before.version, before.terms_id)


@pytest.mark.parametrize("state", HOLDS_ALL)
@pytest.mark.parametrize("asks", ["buyer", "seller"])
@pytest.mark.parametrize("ends", [True, False])
def test_after_the_funding_both_have_to_cancel(state: State, asks: str, ends: bool) -> None:
    deal = escrow_in(state)
    asker = getattr(deal, asks)
    other = deal.seller if asks == "buyer" else deal.buyer
    public_id = deal.escrow.public_id
    escrows.cancel(actor=asker, public_id=public_id)
    with pytest.raises(AmaniError, match="You have asked already"):
        escrows.cancel(actor=asker, public_id=public_id)
    if ends:
        assert escrows.cancel(actor=other, public_id=public_id).state == State.CANCELLED
        assert (deal.held, deal.buyers) == (0, deal.escrow.due_minor)
    else:
        assert escrows.keep(actor=other, public_id=public_id).cancel_asked_by_id is None
        with pytest.raises(AmaniError, match="No party has asked"):
            escrows.keep(actor=other, public_id=public_id)
        assert deal.held == deal.escrow.due_minor


@pytest.mark.parametrize("state", [state for state in State if state != State.AGREED])
def test_the_clock_and_providers_do_only_what_the_table_lists(state: State) -> None:
    deal = escrow_in(state)
    held = deal.held
    pay(deal.escrow, 1_000)
    deal.escrow.refresh_from_db()
    receives = TRANSITIONS.find(state, Event.RECEIVE_PART) is not None
    assert deal.held - held == (1_000 if receives else 0)
    assert deal.escrow.state == state
    Escrow.objects.filter(pk=deal.escrow.pk).update(expires_at=deal.escrow.created_at)
    expires = TRANSITIONS.find(state, Event.EXPIRE) is not None
    assert escrows.expire_due() == int(expires)
    deal.escrow.refresh_from_db()
    assert deal.escrow.state == (State.CANCELLED if expires else state)


def test_every_step_of_an_escrow_has_a_way_to_try_it() -> None:
    # In tests of their own; test_short.py has END_SHORT.
    elsewhere = {Event.JOIN, Event.ASK_CANCEL, Event.KEEP, Event.UNFREEZE, Event.END_SHORT}
    by_programs = {row.event for row in TRANSITIONS.rows if row.who <= {Who.SYSTEM, Who.PROVIDER}}
    assert {row.event for row in TRANSITIONS.rows} == set(ATTEMPTS) | elsewhere | by_programs


# --- Milestones ---


def on_first(action: Callable[..., object], **words: Any) -> Attempt:
    return lambda cast, actor: action(actor=actor, public_id=first_id(cast), **words)


def first_id(cast: Cast) -> UUID:
    return cast.deal.escrow.milestones.values_list("public_id", flat=True).earliest("seq")


STEPS: dict[MilestoneStep, Attempt] = {
    MilestoneStep.SUBMIT: on_first(escrows.submit),
    MilestoneStep.REJECT: on_first(escrows.reject, reason="The logo is missing."),
    MilestoneStep.RELEASE_PART: on_first(escrows.release_partially, amount_minor=500),
    MilestoneStep.APPROVE: on_first(escrows.approve),
    MilestoneStep.REFUND: on_first(escrows.refund),
}
REACHED = [state for state in MilestoneState if state not in ("disputed", "resolved")]


@pytest.mark.parametrize("state", REACHED)
def test_in_each_state_of_a_milestone_only_what_the_table_lists_succeeds(state: MilestoneState) -> None:
    cast = Cast(milestone_in(state), make_freezer(), make_party())
    before, money = cast.deal.first, books(cast.deal)
    for step, attempt in STEPS.items():
        for name in PEOPLE:
            with transaction.atomic():
                outcome = tried(attempt, cast, person(cast, name))
                row = MILESTONE_TRANSITIONS.find(state, step)
                after = Milestone.objects.get(pk=before.pk)
                if row is not None and row.who & parts(cast, name):
                    assert not isinstance(outcome, AmaniError), (state, step, name, outcome)
                    assert after.version == after.events.count() > before.version
                    assert after.events.filter(event=step, from_state=state, to_state=row.target).exists()
                else:
                    assert isinstance(outcome, AmaniError), (state, step, name)
                    assert (after.state, after.version, books(cast.deal)) == (state, before.version, money)
                transaction.set_rollback(True)


@pytest.mark.parametrize("state", REACHED)
def test_the_clock_releases_only_what_the_table_lists(state: MilestoneState) -> None:
    deal = milestone_in(state)
    due(deal)
    money = books(deal)
    released = escrows.auto_release_due()
    by_clock = {
        row.source
        for row in MILESTONE_TRANSITIONS.rows
        if row.event in (MilestoneStep.FALL_DUE, MilestoneStep.RELEASE)
    }
    assert released == int(state in by_clock)
    assert deal.first.state == (MilestoneState.RELEASED if state in by_clock else state)
    assert (books(deal) == money) == (state not in by_clock)


def test_every_step_of_a_milestone_has_a_way_to_try_it() -> None:
    # These follow from steps of the escrow.
    elsewhere = {MilestoneStep.FUND, MilestoneStep.CANCEL, MilestoneStep.AWARD, MilestoneStep.END_SHORT}
    by_clock = {MilestoneStep.FALL_DUE, MilestoneStep.RELEASE}
    assert {row.event for row in MILESTONE_TRANSITIONS.rows} == set(STEPS) | elsewhere | by_clock


def test_no_step_leaves_an_end_and_none_leads_to_what_is_reserved() -> None:
    assert {row.source for row in TRANSITIONS.rows}.isdisjoint(ENDS)
    assert {row.source for row in MILESTONE_TRANSITIONS.rows}.isdisjoint(MILESTONE_ENDS)
    reached = {row.target for row in MILESTONE_TRANSITIONS.rows}
    assert reached.isdisjoint({MilestoneState.DISPUTED, MilestoneState.RESOLVED})
    assert {row.source for row in TRANSITIONS.rows if row.event == Event.FREEZE} == set(FREEZABLE)


# --- By SQL ---


def refusal_of(sql: str, parameters: list[Any]) -> str:
    """Returns what the database says to the statement; "" if it accepts it."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            transaction.set_rollback(True)
    except DatabaseError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("state", [state for state in State if state != State.AGREED])
def test_the_database_refuses_each_change_of_an_escrows_state_that_no_step_makes(state: State) -> None:
    escrow = escrow_in(state).escrow
    allowed = {row.target for row in TRANSITIONS.rows if row.source == state} | {state}
    for target in State:
        words = refusal_of("UPDATE escrow_escrow SET state = %s WHERE id = %s", [target, escrow.pk])
        assert ("Invalid transition" in words) == (target not in allowed), (state, target, words)


@pytest.mark.parametrize("state", REACHED)
def test_the_database_refuses_each_change_of_a_milestones_state_that_no_step_makes(
    state: MilestoneState,
) -> None:
    milestone = milestone_in(state).first
    allowed = {row.target for row in MILESTONE_TRANSITIONS.rows if row.source == state} | {state}
    for target in MilestoneState:
        words = refusal_of("UPDATE escrow_milestone SET state = %s WHERE id = %s", [target, milestone.pk])
        assert ("Invalid transition" in words) == (target not in allowed), (state, target, words)


@pytest.mark.parametrize("model", [Escrow, Milestone, EscrowEvent, MilestoneEvent])
def test_a_setting_of_the_session_leaves_no_trigger_out(model: type[Model]) -> None:
    """pgtrigger leaves out what a setting names, and every role can make it: see core/kept_triggers.py."""
    deal = escrow_in(State.IN_PROGRESS)
    table = model._meta.db_table
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT current_user = session_user, pg_has_role(relowner, 'MEMBER') FROM pg_class"
            " WHERE oid = %s::regclass",
            [table],
        )
        assert cursor.fetchone() == (True, False)
        cursor.execute(
            "SELECT set_config('pgtrigger.ignore', array_agg(tgname::text)::text, true) FROM pg_trigger"
            " WHERE tgrelid = %s::regclass AND NOT tgisinternal",
            [table],
        )
        assert "pgtrigger_" in cursor.fetchone()[0]
        change = "event = 'x'" if issubclass(model, EscrowEvent | MilestoneEvent) else "state = 'disputed'"
        for statement in (f"UPDATE {table} SET {change}", f"DELETE FROM {table}"):  # noqa: S608  (of constants)
            assert "pgtrigger: " in refusal_of(statement, [])
    assert deal.milestones[0].events.exists()


def test_rows_begin_in_the_first_state_of_their_table() -> None:
    deal = escrow_in(State.AWAITING_FUNDS)
    assert "Cannot insert" in refusal_of(
        "INSERT INTO escrow_milestone (public_id, escrow_id, seq, title, amount_minor, buyer_fee_minor,"
        " seller_fee_minor, released_minor, refunded_minor, state, version, created_at)"
        " VALUES (gen_random_uuid(), %s, 9, 'x', 5, 0, 0, 0, 0, 'funded', 0, now())",
        [deal.escrow.pk],
    )
    assert "Cannot insert" in refusal_of(
        "INSERT INTO escrow_escrow (public_id, creator_id, buyer_id, currency, state, version, due_minor,"
        " funded_minor, created_at) VALUES (gen_random_uuid(), %s, %s, 'NGN', 'funded', 0, 0, 0, now())",
        [deal.buyer.pk, deal.buyer.pk],
    )
    assert Milestone.objects.filter(escrow=deal.escrow).count() == 2


def test_what_waits_for_the_seller_is_released_when_they_can_receive_it() -> None:
    deal = milestone_in(MilestoneState.RELEASE_REQUESTED)
    verify(deal.seller, ())
    due(deal)
    assert escrows.auto_release_due() == 1
    assert (deal.first.state, deal.sellers) == (MilestoneState.RELEASED, 60_000 * 100)
