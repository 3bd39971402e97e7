"""Tests where the money is after each step of an escrow."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from escrow import escrows, ledger, stops
from escrow.errors import (
    CannotReceive,
    EscrowNotFound,
    Frozen,
    MilestoneNotFound,
    NotAllowed,
    OwnEscrow,
    ReasonMissing,
    StepRefused,
    VersionChanged,
)
from escrow.escrows.auto_release import release_if_due
from escrow.escrows.tests.deals import (
    NAIRA,
    agreed,
    books,
    due,
    funded,
    make_freezer,
    make_party,
    milestone_in,
    pay,
    submitted,
    verify,
)
from escrow.ledger import KeyReused
from escrow.models import Escrow, LedgerEntry, LedgerTransfer, Milestone, MoneyStop
from escrow.states import MilestoneState, State
from kyc.models import Case, LimitUsage
from observability.tests.samples import Change

pytestmark = pytest.mark.django_db
SAVEPOINTS = 2  # of the service itself, which in a test is inside of another transaction


def fee() -> int:
    return ledger.balance_of(ledger.platform_fee("NGN"))


def suspense() -> int:
    return ledger.balance_of(ledger.suspense("sandbox", "NGN"))


# --- Funding ---


def test_the_whole_payment_funds_escrow_and_milestones() -> None:
    deal = agreed()
    at = timezone.now() - timedelta(hours=1)
    arrived = escrows.money_arrived(
        escrow_id=deal.escrow.pk,
        collection_id=5,
        amount_minor=101_500 * NAIRA,
        provider="sandbox",
        receipt="r1",
        event_at=at,
    )
    assert (arrived.escrow.state, arrived.held_minor, arrived.excess_minor) == ("funded", 101_500 * NAIRA, 0)
    assert {milestone.state for milestone in deal.milestones} == {"funded"}
    assert deal.held == 101_500 * NAIRA
    assert LedgerEntry.objects.filter(transfer__escrow_id=deal.escrow.pk).count() == 2
    assert LedgerTransfer.objects.get().event_at == at


def test_a_part_waits_for_the_rest_and_too_much_goes_to_suspense() -> None:
    deal = agreed()
    escrow = pay(deal.escrow, 100_000 * NAIRA)
    assert (escrow.state, escrow.funded_minor) == (State.AWAITING_FUNDS, 100_000 * NAIRA)
    escrow = pay(escrow, 2_000 * NAIRA)
    assert (escrow.state, escrow.funded_minor) == (State.FUNDED, 101_500 * NAIRA)
    assert (deal.held, suspense()) == (101_500 * NAIRA, 500 * NAIRA)
    pay(escrow, 7)
    assert (deal.held, suspense()) == (101_500 * NAIRA, 500 * NAIRA + 7)


def test_money_for_an_escrow_that_has_ended_goes_to_suspense() -> None:
    deal = agreed()
    escrows.cancel(actor=deal.buyer, public_id=deal.escrow.public_id)
    assert pay(deal.escrow, 5_000).state == State.CANCELLED
    assert (deal.held, suspense()) == (0, 5_000)


def test_one_receipt_is_taken_once() -> None:
    deal = agreed()
    for was_known in (False, True, True):
        arrived = escrows.money_arrived(
            escrow_id=deal.escrow.pk,
            collection_id=5,
            amount_minor=102_000 * NAIRA,
            provider="sandbox",
            receipt="r1",
        )
        assert (arrived.held_minor, arrived.excess_minor) == (101_500 * NAIRA, 500 * NAIRA)
        assert arrived.was_known == was_known
    assert (deal.held, suspense()) == (101_500 * NAIRA, 500 * NAIRA)
    with pytest.raises(KeyReused), transaction.atomic():
        escrows.money_arrived(
            escrow_id=deal.escrow.pk, collection_id=5, amount_minor=1, provider="sandbox", receipt="r1"
        )
    with pytest.raises(EscrowNotFound):
        escrows.money_arrived(escrow_id=0, collection_id=5, amount_minor=1, provider="sandbox", receipt="r")


# --- Release ---


def test_an_approval_releases_the_milestone_and_takes_its_fee() -> None:
    deal = submitted(fee_payer="split")
    milestone = escrows.approve(actor=deal.buyer, public_id=deal.first.public_id)
    assert (milestone.state, milestone.released_minor) == (MilestoneState.RELEASED, 60_000 * NAIRA)
    assert (deal.sellers, fee()) == (59_550 * NAIRA, 900 * NAIRA)
    assert deal.held == 40_300 * NAIRA
    assert [event.event for event in milestone.events.all()] == ["fund", "submit", "approve", "release"]
    usage = LimitUsage.objects.get(person=deal.seller)
    assert (usage.kind, usage.used_minor) == ("balance", 59_550 * NAIRA)
    assert Escrow.objects.get().state == State.IN_PROGRESS


def test_parts_take_their_share_of_the_fee_and_the_last_one_the_rest() -> None:
    deal = funded(10_003, fee_payer="seller")  # the fee is 10,000
    public_id = deal.first.public_id
    for amount, sellers, fees in ((1, 1, 0), (5_000, 2, 4_999), (5_001, 3, 9_999)):
        escrows.release_partially(actor=deal.buyer, public_id=public_id, amount_minor=amount)
        assert (deal.sellers, fee()) == (sellers, fees)
    milestone = escrows.approve(actor=deal.buyer, public_id=public_id)
    assert (deal.sellers, fee(), deal.held) == (3, 10_000, 0)
    assert (milestone.released_minor, milestone.state) == (10_003, "released")


def test_a_refund_gives_back_the_rest_and_the_fee_that_was_not_taken() -> None:
    deal = funded()
    public_id = deal.first.public_id
    escrows.release_partially(actor=deal.buyer, public_id=public_id, amount_minor=20_000 * NAIRA)
    assert (deal.sellers, fee()) == (20_000 * NAIRA, 300 * NAIRA)
    milestone = escrows.refund(actor=deal.seller, public_id=public_id, reason="I cannot finish it.")
    assert (milestone.state, milestone.refunded_minor) == (MilestoneState.REFUNDED, 40_000 * NAIRA)
    assert (deal.buyers, deal.held) == (40_600 * NAIRA, 40_600 * NAIRA)
    last = milestone.events.last()
    assert last is not None
    assert (last.amount_minor, last.reason) == (40_000 * NAIRA, "I cannot finish it.")


@pytest.mark.parametrize(
    ("ends", "state"),
    [
        (("approve", "approve"), State.COMPLETED),
        (("refund", "refund"), State.REFUNDED),
        (("approve", "refund"), State.CLOSED_MIXED),
        (("refund", "approve"), State.CLOSED_MIXED),
    ],
)
def test_the_end_of_an_escrow_follows_from_its_milestones(ends: tuple[str, str], state: State) -> None:
    deal = funded()
    for milestone, end in zip(deal.milestones, ends, strict=True):
        act = escrows.approve if end == "approve" else escrows.refund
        act(actor=deal.buyer if end == "approve" else deal.seller, public_id=milestone.public_id)
    escrow = Escrow.objects.get()
    assert (escrow.state, deal.held) == (state, 0)
    assert escrow.closed_at is not None
    assert escrow.version == escrow.events.count()


def test_what_was_released_stays_released_when_both_cancel() -> None:
    deal = funded()
    escrows.approve(actor=deal.buyer, public_id=deal.first.public_id)
    escrows.cancel(actor=deal.seller, public_id=deal.escrow.public_id)
    escrow = escrows.cancel(actor=deal.buyer, public_id=deal.escrow.public_id)
    assert escrow.state == State.CLOSED_MIXED
    assert [milestone.state for milestone in deal.milestones] == ["released", "cancelled"]
    assert (deal.sellers, deal.buyers, deal.held) == (60_000 * NAIRA, 40_600 * NAIRA, 0)


def test_what_is_approved_and_waits_is_not_cancelled() -> None:
    deal = milestone_in(MilestoneState.RELEASE_REQUESTED)
    escrows.cancel(actor=deal.seller, public_id=deal.escrow.public_id)
    before = books(deal)
    with pytest.raises(StepRefused):
        escrows.cancel(actor=deal.buyer, public_id=deal.escrow.public_id)
    assert books(deal) == before


# --- What a seller may receive ---


def test_an_approval_of_what_the_seller_cannot_receive_waits() -> None:
    """Tier 3 may hold NGN 50,000,000."""
    deal = submitted(30_000_000 * NAIRA, 30_000_000 * NAIRA)
    for milestone in deal.milestones:
        escrows.approve(actor=deal.buyer, public_id=milestone.public_id)
    assert [milestone.state for milestone in deal.milestones] == ["released", "release_requested"]
    assert deal.sellers == 30_000_000 * NAIRA
    due(deal)
    assert escrows.auto_release_due() == 1
    assert deal.milestones[1].state == "release_requested"
    LimitUsage.objects.filter(person=deal.seller).update(used_minor=0)  # as a payout does
    due(deal)
    assert escrows.auto_release_due() == 1
    assert deal.sellers == 60_000_000 * NAIRA
    assert Escrow.objects.get().state == State.COMPLETED


def test_a_part_that_the_seller_cannot_receive_is_refused_without_telling_why() -> None:
    deal = funded()
    Case.objects.filter(person=deal.seller).update(state="expired")
    before = books(deal)
    with pytest.raises(CannotReceive) as refusal:
        escrows.release_partially(actor=deal.buyer, public_id=deal.first.public_id, amount_minor=1_000)
    assert "limit" not in str(refusal.value)
    assert books(deal) == before


def test_nothing_is_released_to_a_seller_whose_kyc_is_revoked() -> None:
    deal = submitted()
    Case.objects.filter(person=deal.seller, document_type="passport").update(
        state="revoked", reason_code="suspected_fraud"
    )
    due(deal)
    before = books(deal)
    escrows.auto_release_due()
    assert (deal.first.state, books(deal)) == (MilestoneState.SUBMITTED, before)
    escrows.approve(actor=deal.buyer, public_id=deal.first.public_id)
    assert (deal.first.state, books(deal)) == (MilestoneState.RELEASE_REQUESTED, before)
    verify(deal.seller, ["passport"])
    due(deal)
    escrows.auto_release_due()
    assert deal.first.state == MilestoneState.RELEASED


# --- What a release costs ---


def test_an_approval_that_releases_an_escrow_is_ten_statements(django_assert_num_queries: Any) -> None:
    """Lock, approve, KYC, rules, limit, stops, post, release, and two for the escrow."""
    deal = submitted(10_000_000)
    public_id = deal.first.public_id
    with django_assert_num_queries(10 + SAVEPOINTS):
        milestone = escrows.approve(actor=deal.buyer, public_id=public_id)
    assert (milestone.state, deal.first.state) == (MilestoneState.RELEASED, MilestoneState.RELEASED)


def test_a_release_by_the_clock_asks_once_for_the_sellers_kyc(django_assert_num_queries: Any) -> None:
    deal = submitted(10_000_000)
    due(deal)
    milestone_id = deal.first.pk
    with django_assert_num_queries(11 + SAVEPOINTS):  # as above; the escrow and its milestones apart
        assert release_if_due(milestone_id, deal.escrow.pk)
    assert deal.first.state == MilestoneState.RELEASED


# --- The clock ---


def test_a_delivery_without_an_answer_is_released_when_its_inspection_ends() -> None:
    deal = submitted(inspection_days=5)
    at = deal.first.auto_release_at
    assert at is not None
    assert timedelta(days=4, hours=23) < at - timezone.now() <= timedelta(days=5)
    assert escrows.auto_release_due() == 0
    due(deal)
    assert escrows.auto_release_due() == 1
    assert (deal.first.state, deal.first.auto_release_at) == (MilestoneState.RELEASED, None)
    assert deal.sellers == 60_000 * NAIRA
    assert [event.event for event in deal.first.events.all()][-2:] == ["fall_due", "release"]


def test_a_rejection_ends_the_inspection() -> None:
    deal = submitted()
    with pytest.raises(ReasonMissing):
        escrows.reject(actor=deal.buyer, public_id=deal.first.public_id, reason=" ")
    milestone = escrows.reject(actor=deal.buyer, public_id=deal.first.public_id, reason="No logo.")
    assert (milestone.state, milestone.auto_release_at) == (MilestoneState.FUNDED, None)
    last = milestone.events.last()
    assert last is not None
    assert last.reason == "No logo."
    assert escrows.auto_release_due() == 0


def test_while_the_money_is_stopped_nothing_is_released_and_everything_waits() -> None:
    deal = submitted()
    due(deal)
    stops.open_for({"drift": "account 5"})
    before, public_id = books(deal), deal.first.public_id
    for attempt in (
        partial(escrows.approve, actor=deal.buyer, public_id=public_id),
        partial(escrows.release_partially, actor=deal.buyer, public_id=public_id, amount_minor=5),
    ):
        with pytest.raises(stops.MoneyStopped), transaction.atomic():
            attempt()
    assert escrows.auto_release_due() == 0
    assert (books(deal), deal.first.state) == (before, "submitted")
    stop = MoneyStop.objects.get()
    stops.clear(stop_id=stop.pk, actor=make_freezer(), reason="A migration; compared by hand.")
    assert escrows.auto_release_due() == 1


def test_one_that_fails_does_not_stand_before_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    broken, good = submitted(), submitted()
    due(broken)
    due(good)
    Milestone.objects.filter(pk=broken.first.pk).update(auto_release_at=timezone.now() - timedelta(hours=1))
    release = escrows.auto_release.release_locked

    def fail_for_one(locked: object, milestone: Milestone) -> None:
        if milestone.pk == broken.first.pk:
            raise ZeroDivisionError
        release(locked, milestone)  # type: ignore[arg-type]  # as it came

    monkeypatch.setattr(escrows.auto_release, "release_locked", fail_for_one)
    assert escrows.auto_release_due() == 2
    assert (broken.first.state, good.first.state) == ("submitted", "released")
    until = broken.first.auto_release_at
    assert until is not None
    assert until > timezone.now()


# --- Operators ---


def test_a_frozen_escrow_gives_nothing_and_its_timers_stand() -> None:
    deal, operator = submitted(), make_freezer()
    promised = deal.first.auto_release_at
    escrows.freeze(escrow_id=deal.escrow.pk, operator=operator, reason="A complaint.")
    before = books(deal)
    public_id = deal.first.public_id
    for attempt in (
        partial(escrows.approve, actor=deal.buyer, public_id=public_id),
        partial(escrows.release_partially, actor=deal.buyer, public_id=public_id, amount_minor=5),
        partial(escrows.refund, actor=deal.seller, public_id=public_id),
        partial(escrows.cancel, actor=deal.seller, public_id=deal.escrow.public_id),
    ):
        with pytest.raises(Frozen):
            attempt()
    due(deal)
    assert escrows.auto_release_due() == 0
    assert books(deal) == before
    Milestone.objects.filter(pk=deal.first.pk).update(auto_release_at=promised)
    Escrow.objects.filter(pk=deal.escrow.pk).update(frozen_at=timezone.now() - timedelta(days=2))
    escrow = escrows.unfreeze(escrow_id=deal.escrow.pk, operator=operator, reason="Settled.")
    moved = deal.first.auto_release_at
    assert promised is not None
    assert moved is not None
    assert timedelta(days=2) <= moved - promised < timedelta(days=2, minutes=5)
    assert [event.reason for event in escrow.events.filter(actor=operator)] == ["A complaint.", "Settled."]
    assert escrows.approve(actor=deal.buyer, public_id=public_id).state == "released"


def test_freezing_needs_the_permission_a_reason_and_another_operator() -> None:
    deal, operator = funded(), make_freezer()
    freeze = partial(escrows.freeze, escrow_id=deal.escrow.pk, reason="Why.")
    with pytest.raises(NotAllowed):
        freeze(operator=make_party())
    with pytest.raises(ReasonMissing):
        freeze(operator=operator, reason=" ")
    deal.buyer.is_superuser = True
    deal.buyer.save()
    with pytest.raises(OwnEscrow):
        freeze(operator=deal.buyer)
    with pytest.raises(StepRefused):
        escrows.unfreeze(escrow_id=deal.escrow.pk, operator=operator, reason="Why.")
    freeze(operator=operator)
    with pytest.raises(StepRefused):
        freeze(operator=operator)
    assert Escrow.objects.get().events.filter(event="freeze").count() == 1


def test_a_frozen_escrow_still_takes_money_and_does_not_expire() -> None:
    deal = agreed()
    escrows.freeze(escrow_id=deal.escrow.pk, operator=make_freezer(), reason="Why.")
    Escrow.objects.update(expires_at=timezone.now() - timedelta(days=1))
    assert escrows.expire_due() == 0
    assert pay(deal.escrow, deal.escrow.due_minor).state == State.FUNDED


# --- Callers ---


def test_another_persons_milestone_does_not_exist() -> None:
    deal, stranger = submitted(), make_party()
    before = books(deal)
    for act in (escrows.submit, escrows.approve, escrows.refund):
        with pytest.raises(MilestoneNotFound):
            act(actor=stranger, public_id=deal.first.public_id)
    assert books(deal) == before


def test_a_step_on_a_milestone_that_has_changed_is_refused() -> None:
    deal = submitted()
    version = deal.first.version
    with pytest.raises(VersionChanged):
        escrows.approve(actor=deal.buyer, public_id=deal.first.public_id, if_version=version - 1)
    milestone = escrows.approve(actor=deal.buyer, public_id=deal.first.public_id, if_version=version)
    assert milestone.state == "released"


def test_transactions_are_counted_when_they_are_committed(
    django_capture_on_commit_callbacks: object,
) -> None:
    funding, release, refund, cancel = (
        Change("escrow_transactions_total", type=kind, status="completed")
        for kind in ("funding", "release", "refund", "cancel")
    )
    with django_capture_on_commit_callbacks(execute=True):  # type: ignore[operator]  # a fixture
        deal = funded()
        escrows.approve(actor=deal.buyer, public_id=deal.first.public_id)
        assert (funding(), release()) == (0, 0)
    assert (funding(), release(), refund(), cancel()) == (1, 1, 0, 0)
    with django_capture_on_commit_callbacks(execute=True):  # type: ignore[operator]  # a fixture
        escrows.cancel(actor=deal.buyer, public_id=deal.escrow.public_id)
        escrows.cancel(actor=deal.seller, public_id=deal.escrow.public_id)
    assert (funding(), release(), refund(), cancel()) == (1, 1, 1, 1)
