"""Escrows that are short, because a payment of theirs was taken back: how they go on, and how they end."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
from django.contrib.auth.models import Group
from django.db import DatabaseError, IntegrityError, transaction
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from accounts.models import User
from core.errors import AmaniError
from escrow import escrows, ledger, stops
from escrow.errors import CannotReceive, NotAllowed, NotShort, OwnEscrow, ReasonMissing, Short, StepRefused
from escrow.escrows.fees import FeePayer
from escrow.escrows.taken_back import WHY
from escrow.escrows.tests import deals
from escrow.escrows.tests.deals import NAIRA, Deal, books
from escrow.models import Escrow, LedgerTransfer, Milestone, Role
from escrow.states import MilestoneState, State
from kyc.models import Case

pytestmark = [pytest.mark.usefixtures("as_the_application"), pytest.mark.django_db]
FIRST, SECOND = 50_000 * NAIRA, 51_500 * NAIRA  # the payments; due is 101,500: 60,000 + 40,000 and the fee


def paid_twice(deal: Deal) -> Deal:
    deals.pay(deal.escrow, FIRST, "first")
    return deal._replace(escrow=deals.pay(deal.escrow, SECOND, "second"))


def take_back(deal: Deal, receipt: str, amount_minor: int) -> Escrow:
    escrows.money_taken_back(
        escrow_id=deal.escrow.pk,
        collection_id=deal.escrow.pk,
        provider="sandbox",
        receipt=receipt,
        amount_minor=amount_minor,
    )
    deal.escrow.refresh_from_db()
    return deal.escrow


@pytest.fixture
def operator() -> User:
    return deals.make_freezer()


@pytest.fixture
def deal() -> Deal:
    """Funded by two payments, of which the second was taken back: it holds 50,000 of 101,500."""
    deal = paid_twice(deals.agreed())
    take_back(deal, "second", SECOND)
    return deal


def events(deal: Deal) -> list[tuple[str, int | None]]:
    return list(deal.escrow.events.order_by("id").values_list("event", "amount_minor"))


def shares(deal: Deal) -> list[tuple[str, int, int]]:
    return [(row.state, row.released_minor, row.refunded_minor) for row in deal.milestones]


# --- Short ---


def test_what_was_taken_back_is_missing_and_the_escrow_is_frozen(deal: Deal) -> None:
    escrow = deal.escrow
    assert (escrow.short_minor, deal.held, escrow.state) == (SECOND, FIRST, State.FUNDED)
    assert escrow.frozen_at is not None
    last = escrow.events.last()
    assert last is not None
    assert (last.event, last.amount_minor, last.provider) == ("take_back", SECOND, "sandbox")
    transfer = LedgerTransfer.objects.get(kind="funding_reversed")
    assert (transfer.escrow_id, transfer.reason, last.reason) == (escrow.pk, WHY, WHY)
    before = books(deal)
    take_back(deal, "second", SECOND)
    assert (escrow.short_minor, books(deal)) == (SECOND, before)
    take_back(deal, "first", FIRST)
    assert (escrow.short_minor, deal.held) == (FIRST + SECOND, 0)
    assert escrow.frozen_at is not None


def test_unfreezing_it_is_refused_also_by_the_database(deal: Deal, operator: User) -> None:
    with pytest.raises(Short, match="NGN 51,500") as refused:
        escrows.unfreeze(escrow_id=deal.escrow.pk, operator=operator, reason="It is fine.")
    assert refused.value.code == "escrow_short"
    with pytest.raises(IntegrityError, match="a_short_escrow_is_frozen_until_it_ends"), transaction.atomic():
        Escrow.objects.filter(pk=deal.escrow.pk).update(frozen_at=None)
    deal.escrow.refresh_from_db()
    assert deal.escrow.frozen_at is not None


def test_when_it_is_paid_in_again_it_goes_on(deal: Deal, operator: User) -> None:
    deals.pay(deal.escrow, 1_500 * NAIRA)
    deals.pay(deal.escrow, 50_000 * NAIRA + 7)
    deal.escrow.refresh_from_db()
    assert (deal.escrow.short_minor, deal.held) == (0, FIRST + SECOND)
    assert events(deal)[-2:] == [("make_good", 1_500 * NAIRA), ("make_good", 50_000 * NAIRA)]
    assert ledger.balance_of(ledger.suspense("sandbox", "NGN")) == 7
    assert deal.escrow.frozen_at is not None
    escrows.unfreeze(escrow_id=deal.escrow.pk, operator=operator, reason="It was paid in.")
    for milestone in deal.milestones:
        escrows.approve(actor=deal.buyer, public_id=milestone.public_id)
    assert (deal.held, deal.sellers) == (0, 100_000 * NAIRA)
    assert Escrow.objects.get(pk=deal.escrow.pk).state == State.COMPLETED


def test_a_payment_that_made_it_good_may_be_taken_back_as_well(deal: Deal) -> None:
    deals.pay(deal.escrow, SECOND, "third")
    escrow = take_back(deal, "third", SECOND)
    assert (escrow.short_minor, deal.held) == (SECOND, FIRST)


def test_before_all_of_the_money_came_it_is_due_again(operator: User) -> None:
    deal = deals.agreed()
    deals.pay(deal.escrow, FIRST, "first")
    deals.pay(deal.escrow, 700, "second")
    escrow = take_back(deal, "first", FIRST)
    assert (escrow.state, escrow.funded_minor, escrow.short_minor) == (State.AWAITING_FUNDS, 700, 0)
    escrows.unfreeze(escrow_id=escrow.pk, operator=operator, reason="They pay again.")
    with transaction.atomic():
        assert deals.pay(escrow, escrow.due_minor - 700).state == State.FUNDED
        transaction.set_rollback(True)
    assert escrows.cancel(actor=deal.buyer, public_id=escrow.public_id).state == State.CANCELLED
    assert (deal.held, deal.buyers) == (0, 700)


def test_what_arrived_becomes_less_only_while_more_is_awaited() -> None:
    for state, is_refused in ((State.AWAITING_FUNDS, False), (State.FUNDED, True)):
        escrow = deals.escrow_in(state).escrow
        if not is_refused:
            deals.pay(escrow, 700)
        refusal = pytest.raises(DatabaseError, match="Cannot update") if is_refused else nullcontext()
        with refusal, transaction.atomic():
            Escrow.objects.filter(pk=escrow.pk).update(funded_minor=3)


# --- Its end ---


def end(deal: Deal, operator: User, to: Role, reason: str = "The buyer does not answer.") -> Escrow:
    ended = escrows.end_short(escrow_id=deal.escrow.pk, operator=operator, reason=reason, to=to)
    deal.escrow.refresh_from_db()
    return ended


def test_it_ends_with_what_it_holds_back_to_the_buyer(deal: Deal, operator: User) -> None:
    escrow = end(deal, operator, Role.BUYER)
    assert (deal.held, deal.buyers, deal.sellers) == (0, FIRST, 0)
    assert shares(deal) == [("cancelled", 0, FIRST), ("cancelled", 0, 0)]
    assert (escrow.state, escrow.frozen_at, escrow.short_minor) == (State.CANCELLED, None, SECOND)
    assert events(deal)[-2:] == [("end_short", FIRST), ("cancel", None)]
    said = escrow.events.get(event="end_short")
    assert (said.actor_id, said.reason) == (operator.pk, "The buyer does not answer.")
    transfer = LedgerTransfer.objects.latest("id")
    assert (transfer.kind, transfer.actor_id, transfer.milestone_id) == (
        "refund",
        operator.pk,
        deal.first.pk,
    )
    assert transfer.key == key_before_last_step(deal.milestones[0], "refund")


def key_before_last_step(milestone: Milestone, what: str) -> str:
    """Returns the key that the ledger knows the last step's money by, so that it moves once."""
    return f"milestone:{milestone.pk}:{what}:{milestone.version - 1}"


def test_it_ends_with_what_it_holds_to_the_seller_with_the_fee_on_it(operator: User) -> None:
    deal = paid_twice(deals.agreed(20_000 * NAIRA, 80_000 * NAIRA))
    take_back(deal, "second", SECOND)
    escrow = end(deal, operator, Role.SELLER)
    [first, second] = deal.milestones
    assert (first.state, first.released_minor) == (MilestoneState.RELEASED, 20_000 * NAIRA)
    assert (second.state, second.refunded_minor) == (MilestoneState.CANCELLED, 0)
    fee = ledger.balance_of(ledger.platform_fee("NGN"))
    assert deal.sellers == first.released_minor + second.released_minor
    assert (deal.held, deal.buyers, deal.sellers + fee) == (0, 0, FIRST)
    assert fee == FIRST * 15 // 1_015  # 1.5 % on top
    assert (escrow.state, first.events.filter(event="award").count()) == (State.CLOSED_MIXED, 1)
    assert first.events.get(event="release").actor_id == operator.pk
    part = LedgerTransfer.objects.filter(kind="release").latest("id")
    assert (part.key, part.escrow_id, part.milestone_id, part.actor_id) == (
        key_before_last_step(second, "release"),
        escrow.pk,
        second.pk,
        operator.pk,
    )


def test_what_waits_for_its_seller_is_ended_too(operator: User) -> None:
    deal = deals.blocked()
    receipt = LedgerTransfer.objects.get(kind="funding").key.rpartition(":")[2]
    take_back(deal, receipt, deal.escrow.due_minor)
    assert end(deal, operator, Role.SELLER).state == State.CANCELLED
    assert shares(deal) == [("cancelled", 0, 0), ("cancelled", 0, 0)]
    assert books(deal)[:3] == (0, 0, 0)


@given(
    amounts=st.lists(st.integers(10_001, 100_000), min_size=1, max_size=3),
    payer=st.sampled_from(FeePayer),
    part=st.integers(1, 9_999),
    taken=st.integers(1, 99),
    to=st.sampled_from(Role),
)
@example(amounts=[10_001, 10_001], payer=FeePayer.BUYER, part=9_999, taken=3, to=Role.SELLER)
@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
def test_all_that_is_held_goes_and_each_milestone_says_how_much(
    operator: User, amounts: list[int], payer: FeePayer, part: int, taken: int, to: Role
) -> None:
    deal = deals.agreed(*amounts, fee_payer=payer)
    due = deal.escrow.due_minor
    back = max(due * taken // 100, 1)
    deals.pay(deal.escrow, due - back, "kept")
    deals.pay(deal.escrow, back, "taken")
    escrows.release_partially(actor=deal.buyer, public_id=deal.first.public_id, amount_minor=part)
    fees, held = ledger.balance_of(ledger.platform_fee("NGN")), deal.held
    escrow = take_back(deal, "taken", back)
    assert escrow.short_minor == held - deal.held == min(back, held)
    before = books(deal)
    end(deal, operator, to)
    rows = deal.milestones
    fee = ledger.balance_of(ledger.platform_fee("NGN")) - fees
    assert deal.held == 0
    assert deal.sellers + deal.buyers + fee == sum(before[:3])
    assert all(row.state in (MilestoneState.RELEASED, MilestoneState.CANCELLED) for row in rows)
    released = sum(row.released_minor for row in rows)
    fee_of_seller = sum(row.seller_fee_minor * row.released_minor // row.amount_minor for row in rows)
    assert deal.sellers == released - fee_of_seller
    assert deal.buyers <= 1 or to == Role.BUYER
    assert sum(row.refunded_minor for row in rows) <= deal.buyers
    assert deal.escrow.state in (State.CANCELLED, State.CLOSED_MIXED)


def test_to_a_seller_who_cannot_receive_it_nothing_goes(deal: Deal, operator: User) -> None:
    before = books(deal)
    Case.objects.filter(person=deal.seller).update(state="expired")
    with pytest.raises(CannotReceive):
        end(deal, operator, Role.SELLER)
    Case.objects.filter(person=deal.seller).update(state="approved")
    stops.open_for({"drift": "account 7"})
    with pytest.raises(stops.MoneyStopped):
        end(deal, operator, Role.SELLER)
    deal.escrow.refresh_from_db()
    assert (deal.escrow.state, books(deal)) == (State.FUNDED, before)
    assert end(deal, operator, Role.BUYER).state == State.CANCELLED


def test_only_an_operator_with_a_reason_who_is_no_party_ends_it(deal: Deal, operator: User) -> None:
    before = books(deal)
    deal.buyer.groups.add(Group.objects.get(name="approver"))
    for actor, reason, error in (
        (operator, " ", ReasonMissing),
        (deal.seller, "Mine.", NotAllowed),
        (User.objects.get(pk=deal.buyer.pk), "Mine.", OwnEscrow),
    ):
        with pytest.raises(error):
            end(deal, actor, Role.BUYER, reason)
    assert (deal.escrow.state, books(deal)) == (State.FUNDED, before)


@pytest.mark.parametrize("state", [state for state in State if state != State.AGREED])
def test_what_is_not_short_is_not_ended(state: State, operator: User) -> None:
    deal = deals.escrow_in(state)
    version, before = deal.escrow.version, books(deal)
    with pytest.raises(AmaniError) as refused:
        end(deal, operator, Role.BUYER)
    expected = NotShort if state in (State.FUNDED, State.IN_PROGRESS) else StepRefused
    assert type(refused.value) is expected
    deal.escrow.refresh_from_db()
    assert (deal.escrow.state, deal.escrow.version, books(deal)) == (state, version, before)


def test_it_ends_once(deal: Deal, operator: User) -> None:
    end(deal, operator, Role.BUYER)
    before = books(deal)
    with pytest.raises(StepRefused):
        end(deal, operator, Role.SELLER)
    deals.pay(deal.escrow, SECOND)
    assert (books(deal)[:3], ledger.balance_of(ledger.suspense("sandbox", "NGN"))) == (before[:3], SECOND)
