"""Payouts from the request to their end: what is held, what is sent, what each answer does."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import transaction
from django.test import TestCase
from django.utils import timezone

from core.errors import AmaniError
from escrow import ledger
from escrow.ledger import InsufficientFunds
from escrow.ledger.tests.books import books
from escrow.models import MoneyStop, Payout, PayoutEvent, ProviderCall, Source
from escrow.payments import booking, events, record, work
from escrow.payments.base import Callback, Destination, PayoutStatus
from escrow.payments.claim import claim
from escrow.payments.destinations import destination_of
from escrow.payments.errors import (
    PaymentsOff,
    PayoutKeyUsed,
    PayoutNotFound,
    WrongAmount,
    WrongDestination,
)
from escrow.payments.payouts import payout_of
from escrow.payments.states import PayoutState
from escrow.payments.tests.fake import FakeProvider
from escrow.payments.tests.money import (
    ACCOUNT,
    Money,
    asked,
    contradictions,
    make_due,
    money_of,
    rich,
    run,
    state_of,
)
from escrow.stops import MoneyStopped, clear
from kyc.limits import LimitExceeded
from kyc.limits.tests.amounts import CURRENCY, used
from kyc.tests.people import make_approver
from observability.tests.samples import Change

pytestmark = pytest.mark.django_db

State = PayoutState


# --- the request ---


def test_a_request_holds_the_money_and_has_its_reference_before_anything_is_sent(
    fake: FakeProvider, rings: list[str]
) -> None:
    user = rich(10_000)
    counted = Change("amani_payouts_total", provider="sandbox", state="requested")
    with TestCase.captureOnCommitCallbacks(execute=True):
        payout = asked(user, amount_minor=4_000)
    assert money_of(user) == Money(payable=6_000, transit=4_000, out=0)
    assert (payout.state, payout.provider, len(payout.reference)) == ("requested", "sandbox", 32)
    assert (payout.destination_last, destination_of(payout)) == ("6789", ACCOUNT)
    assert b"0123456789" not in payout.destination_encrypted
    assert used(user.pk) == {"daily": 4_000, "monthly": 4_000}
    (event,) = PayoutEvent.objects.all()
    assert (event.event, event.to_state, event.actor) == ("request", "requested", user)
    assert (fake.sent, rings, counted()) == ([], ["escrow.tasks.run_payouts"], 1)
    assert payout_of(user, payout.public_id) == payout
    with pytest.raises(PayoutNotFound):
        payout_of(rich(), payout.public_id)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"amount_minor": 10_001}, InsufficientFunds),
        ({"source": Source.REFUNDABLE}, InsufficientFunds),
        ({"amount_minor": 0}, WrongAmount),
        ({"amount_minor": -5}, WrongAmount),
        ({"amount_minor": 10**16}, WrongAmount),
        ({"currency": "XXQ"}, WrongAmount),
        ({"currency": "JPY"}, AmaniError),  # no limit is set
        ({"destination": Destination("", "0123456789", "Ada")}, WrongDestination),
        ({"destination": Destination("058", "12 34", "Ada")}, WrongDestination),
        ({"destination": Destination("058", "0123456789", " ")}, WrongDestination),
        ({"destination": Destination("058", "0123456789", "Ada\u202eObi")}, WrongDestination),
        ({"destination": Destination("058", "0123456789", "A" * 101)}, WrongDestination),
        ({"destination": Destination("058", "٠١٢٣٤٥٦٧٨٩", "Ada")}, WrongDestination),
    ],
)
def test_what_cannot_be_paid_holds_nothing(
    fake: FakeProvider, changes: dict[str, Any], error: type[Exception]
) -> None:
    user = rich(10_000)
    before = books()
    with pytest.raises(error), transaction.atomic():
        asked(user, **changes)
    assert (books(), Payout.objects.count(), used(user.pk)) == (before, 0, {})


def test_a_limit_holds_nothing(fake: FakeProvider) -> None:
    user = rich(10**13)
    before = books()
    with pytest.raises(LimitExceeded), transaction.atomic():
        asked(user, amount_minor=10**12 + 1)
    assert (books(), Payout.objects.count()) == (before, 0)


def test_without_a_provider_nothing_is_held(settings: Any) -> None:
    settings.PAYMENT_PROVIDER = "sandbox"  # refused in production
    user = rich()
    with pytest.raises(PaymentsOff):
        asked(user)
    assert money_of(user) == Money(10_000, 0, 0)


def test_while_the_money_is_stopped_nothing_is_requested_and_nothing_is_sent(fake: FakeProvider) -> None:
    user = rich()
    waiting, lost = asked(user), asked(user)
    fake.paying.extend(["later", "lost"])
    run()
    assert {state_of(waiting), state_of(lost)} == {State.REQUESTED, State.UNKNOWN}
    stop = MoneyStop.objects.create(cause="drift", detail="one account")
    with pytest.raises(MoneyStopped), transaction.atomic():
        asked(user, amount_minor=1)
    run()
    assert len(fake.sent) == 2
    assert money_of(user) == Money(2_000, 8_000, 0)
    clear(stop_id=stop.pk, actor=make_approver(), reason="The account is right.")
    run()
    assert (state_of(waiting), state_of(lost)) == (State.SENT, State.SENT)


def test_one_key_is_one_payout(fake: FakeProvider) -> None:
    user = rich()
    first = asked(user, key="k")
    assert asked(user, key="k") == first
    assert asked(rich(), key="k") != first
    for changes in ({"amount_minor": 1}, {"destination": Destination("058", "1111111111", "Ada Obi")}):
        with pytest.raises(PayoutKeyUsed):
            asked(user, key="k", **changes)
    assert money_of(user) == Money(6_000, 4_000, 0)


def test_the_key_of_a_payout_that_failed_is_refused_for_ever(fake: FakeProvider) -> None:
    user = rich()
    payout = asked(user, key="k")
    fake.paying.append("refused")
    run()
    assert state_of(payout) == State.FAILED
    for _ in range(3):
        with pytest.raises(PayoutKeyUsed, match="its payout ended"):
            asked(user, key="k")
        run()
    assert money_of(user) == Money(10_000, 0, 0)
    assert (fake.paid.total(), Payout.objects.count()) == (0, 1)


# --- the ways to an end ---


def test_a_payout_is_sent_asked_about_and_settled(fake: FakeProvider) -> None:
    user = rich()
    payout = asked(user)
    run()
    assert state_of(payout) == State.SENT
    assert payout.provider_reference == "fake-id"
    run()
    assert (state_of(payout), money_of(user)) == (State.SENT, Money(6_000, 4_000, 0))
    fake.transfers[payout.reference].status = PayoutStatus.SETTLED
    run()
    assert (state_of(payout), money_of(user)) == (State.SETTLED, Money(6_000, 0, 4_000))
    assert (payout.next_attempt_at, payout.lease_until, payout.finished_at is None) == (None, None, False)
    events = list(payout.events.values_list("event", "from_state", "to_state", "provider"))
    assert events == [
        ("request", "", "requested", ""),
        ("accept", "requested", "sent", "sandbox"),
        ("settle", "sent", "settled", "sandbox"),
    ]
    calls = list(ProviderCall.objects.order_by("id").values_list("operation", "outcome", "text"))
    sent, settled = ("ok", "sent"), ("ok", "settled")
    assert calls == [("pay", *sent), ("ask_payout", *sent), ("ask_payout", *settled)]
    assert (fake.sent, used(user.pk)["daily"]) == ([payout.reference], 4_000)


@pytest.mark.parametrize("source", list(Source))
def test_a_refusal_gives_the_money_and_the_limit_back(fake: FakeProvider, source: Source) -> None:
    user = rich()
    if source == Source.REFUNDABLE:
        move_to_refundable(user)
    payout = asked(user, source=source)
    fake.paying.append("refused")
    run()
    assert state_of(payout) == State.FAILED
    account = ledger.payable if source == Source.PAYABLE else ledger.refundable
    assert ledger.balance_of(account(user.pk, CURRENCY)) == 10_000
    assert used(user.pk) == {"daily": 0, "monthly": 0}
    run()
    assert fake.sent == [payout.reference]


def move_to_refundable(user: Any) -> None:
    legs = [
        ledger.Leg(ledger.payable(user.pk, CURRENCY), -10_000),
        ledger.Leg(ledger.refundable(user.pk, CURRENCY), 10_000),
    ]
    ledger.post(kind=ledger.TransferKind.CORRECTION, key=f"moved:{user.pk}", legs=legs)


def test_a_settled_payout_that_comes_back_is_returned(fake: FakeProvider) -> None:
    user = rich()
    payout = settled(fake, user)
    fake.transfers[payout.reference].status = PayoutStatus.REVERSED
    report(payout)
    run()
    assert (state_of(payout), money_of(user)) == (State.RETURNED, Money(10_000, 0, 0))
    assert used(user.pk)["daily"] == 0
    assert contradictions(payout) == []


def settled(fake: FakeProvider, user: Any) -> Payout:
    payout = asked(user)
    fake.first_status = PayoutStatus.SETTLED
    run()
    assert state_of(payout) == State.SETTLED
    return payout


def report(payout: Payout, event_id: str = "evt") -> None:
    """Stores a webhook about the payout."""
    events.store(provider="sandbox", callback=Callback(event_id, "k", payout.reference), body=b"{}")


# --- an outcome that is not known ---


@pytest.mark.parametrize("what", ["lost", "done_without_answer"])
def test_an_unknown_outcome_keeps_the_money_in_transit_until_the_provider_says(
    fake: FakeProvider, what: str
) -> None:
    user = rich()
    payout = asked(user)
    fake.paying.append(what)
    work.run_payouts()
    assert (state_of(payout), money_of(user)) == (State.UNKNOWN, Money(6_000, 4_000, 0))
    fake.asking.extend(["no_answer"] * 2)
    run()
    run()
    assert (state_of(payout), money_of(user)) == (State.UNKNOWN, Money(6_000, 4_000, 0))
    run()
    assert state_of(payout) == State.SENT
    assert (set(fake.sent), fake.paid.total()) == ({payout.reference}, 1)


def test_a_provider_that_may_pay_a_reference_twice_never_gets_it_again(
    fake: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeProvider, "pays_a_reference_once", False)
    payout = asked(rich())
    fake.paying.append("lost")
    for _ in range(4):
        run()
    assert (state_of(payout), len(fake.sent)) == (State.UNKNOWN, 1)


def test_not_found_may_mean_not_yet(fake: FakeProvider) -> None:
    payout = asked(rich())
    fake.paying.append("lost")
    work.run_payouts()
    Payout.objects.update(next_attempt_at=payout.created_at)  # asked again at once
    work.run_payouts()
    assert (state_of(payout), len(fake.sent)) == (State.UNKNOWN, 1)
    run()
    assert (state_of(payout), len(fake.sent)) == (State.SENT, 2)


def test_a_refusal_after_an_unknown_outcome_is_final_only_once_the_first_request_is_over(
    fake: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = rich()
    payout = asked(user)
    fake.paying.extend(["lost", "refused", "refused"])
    monkeypatch.setattr(work, "QUIET", work.QUIET * 0)
    work.run_payouts()
    for state in (State.UNKNOWN, State.FAILED):
        if state == State.FAILED:
            make_due()
        Payout.objects.filter(next_attempt_at__isnull=False).update(next_attempt_at=payout.created_at)
        work.run_payouts()
        assert state_of(payout) == state
    assert money_of(user) == Money(10_000, 0, 0)


def test_a_request_that_was_certainly_not_made_is_made_again(fake: FakeProvider) -> None:
    payout = asked(rich())
    fake.paying.extend(["later", "later"])
    run()
    run()
    assert (state_of(payout), payout.first_sent_at) == (State.REQUESTED, None)
    assert payout.last_error == "not now"
    run()
    assert state_of(payout) == State.SENT


def test_a_fault_of_ours_while_sending_is_unknown(
    fake: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    payout = asked(rich())
    monkeypatch.setattr(FakeProvider, "transfer", lambda self, facts: 1 / 0)
    run()
    assert state_of(payout) == State.UNKNOWN
    assert "ZeroDivisionError" in payout.last_error


def test_a_payout_that_cannot_be_processed_does_not_stop_the_others(
    fake: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, sound = asked(rich()), asked(rich())
    Payout.objects.filter(pk=broken.pk).update(destination_encrypted=b"none of our keys made this")
    run()
    assert (state_of(broken), state_of(sound)) == (State.REQUESTED, State.SENT)
    assert (broken.lease_until, broken.last_error) == (None, "Internal error: CannotDecrypt.")
    assert broken.next_attempt_at is not None
    assert broken.next_attempt_at > timezone.now()
    report(sound)
    fake.transfers[sound.reference].status = PayoutStatus.SETTLED
    monkeypatch.setitem(record.ENDS, PayoutStatus.SETTLED, {"sent": record.SETTLE._replace(book=breaks)})
    run()
    assert (state_of(sound), money_of(sound.user).transit) == (State.SENT, 4_000)
    assert sound.payment_events.get().reason == "Internal error: ZeroDivisionError."


def breaks(payout: Payout) -> None:
    raise ZeroDivisionError


# --- each answer in each state ---


def in_state(fake: FakeProvider, state: PayoutState) -> Payout:
    payout = asked(rich())
    if state == State.REQUESTED:
        return payout
    if state == State.UNKNOWN:
        fake.paying.append("done_without_answer")
    fake.first_status = {
        State.SETTLED: PayoutStatus.SETTLED,
        State.RETURNED: PayoutStatus.SETTLED,
        State.FAILED: PayoutStatus.FAILED,
    }.get(state, PayoutStatus.SENT)
    work.run_payouts()
    if state == State.RETURNED:
        fake.transfers[payout.reference].status = PayoutStatus.REVERSED
        report(payout, "first")
        run()
    assert state_of(payout) == state
    return payout


NEXT: dict[PayoutState, dict[PayoutStatus, tuple[PayoutState, bool]]] = {
    State.SENT: {
        PayoutStatus.SENT: (State.SENT, False),
        PayoutStatus.SETTLED: (State.SETTLED, False),
        PayoutStatus.FAILED: (State.FAILED, False),
        PayoutStatus.REVERSED: (State.FAILED, False),
        PayoutStatus.UNKNOWN: (State.UNKNOWN, False),
    },
    State.UNKNOWN: {
        PayoutStatus.SENT: (State.SENT, False),
        PayoutStatus.SETTLED: (State.SETTLED, False),
        PayoutStatus.FAILED: (State.FAILED, False),
        PayoutStatus.REVERSED: (State.FAILED, False),
        PayoutStatus.UNKNOWN: (State.UNKNOWN, False),
    },
    State.SETTLED: {
        PayoutStatus.SENT: (State.SETTLED, True),
        PayoutStatus.SETTLED: (State.SETTLED, False),
        PayoutStatus.FAILED: (State.SETTLED, True),
        PayoutStatus.REVERSED: (State.RETURNED, False),
        PayoutStatus.UNKNOWN: (State.SETTLED, False),
    },
    State.FAILED: {
        PayoutStatus.SENT: (State.FAILED, True),
        PayoutStatus.SETTLED: (State.FAILED, True),
        PayoutStatus.FAILED: (State.FAILED, False),
        PayoutStatus.REVERSED: (State.FAILED, False),
        PayoutStatus.UNKNOWN: (State.FAILED, False),
    },
    State.RETURNED: {
        PayoutStatus.SENT: (State.RETURNED, True),
        PayoutStatus.SETTLED: (State.RETURNED, True),
        PayoutStatus.FAILED: (State.RETURNED, True),
        PayoutStatus.REVERSED: (State.RETURNED, False),
        PayoutStatus.UNKNOWN: (State.RETURNED, False),
    },
}


@pytest.mark.parametrize(
    ("state", "status"), [(state, status) for state, row in NEXT.items() for status in row]
)
def test_each_status_in_each_state(fake: FakeProvider, state: PayoutState, status: PayoutStatus) -> None:
    payout = in_state(fake, state)
    unknown = Change("amani_payment_unknown_statuses_total", provider="sandbox")
    noted = Change("amani_payment_contradictions_total", provider="sandbox", kind="after_the_end")
    fake.transfers[payout.reference].status = status
    before = money_of(payout.user)
    with TestCase.captureOnCommitCallbacks(execute=True):
        for number in range(2):
            report(payout, f"evt-{number}")
            run()
    expected, contradicts = NEXT[state][status]
    assert state_of(payout) == expected
    said = [("after_the_end", state.value, f"{status.value}: {status.value}")] if contradicts else []
    assert contradictions(payout) == said
    assert (noted() > 0, unknown() > 0) == (contradicts, status == PayoutStatus.UNKNOWN)
    if expected == state:
        assert money_of(payout.user) == before
    assert sum(money_of(payout.user)) == 10_000
    assert len(fake.sent) == 1


def test_a_status_of_the_first_answer_may_be_the_last(fake: FakeProvider) -> None:
    for status, state in (("settled", State.SETTLED), ("failed", State.FAILED), ("reversed", State.FAILED)):
        fake.first_status = PayoutStatus(status)
        payout = asked(rich())
        run()
        assert state_of(payout) == state


@pytest.mark.parametrize(
    ("field", "value", "kind"),
    [
        ("amount_minor", 4_001, "other_amount"),
        ("currency", "NGN", "other_currency"),
        ("reference", "another", "other_reference"),
    ],
)
@pytest.mark.parametrize("state", [State.SENT, State.UNKNOWN, State.SETTLED])
def test_an_answer_about_other_money_books_nothing(
    fake: FakeProvider, field: str, value: Any, kind: str, state: PayoutState
) -> None:
    payout = in_state(fake, state)
    before = books()
    transfer = fake.transfers[payout.reference]
    transfer.status = PayoutStatus.SETTLED
    setattr(transfer, field, value)
    for number in range(2):
        report(payout, f"evt-{number}")
        run()
    assert state_of(payout) == (State.SETTLED if state == State.SETTLED else State.UNKNOWN)
    assert [row[0] for row in contradictions(payout)] == [kind]
    assert books() == before


def test_a_payout_that_the_provider_forgot_is_noted_and_not_sent_again(fake: FakeProvider) -> None:
    payout = in_state(fake, State.SENT)
    fake.transfers.clear()
    run()
    run()
    assert (state_of(payout), len(fake.sent)) == (State.SENT, 1)
    assert contradictions(payout) == [("not_known_there", "sent", "not found")]


# --- a worker that is no longer wanted, or dies ---


def test_a_worker_whose_lease_is_over_records_nothing_and_sends_nothing(fake: FakeProvider) -> None:
    user = rich()
    payout = asked(user)
    slow = claim()
    assert slow is not None
    make_due()
    fast = claim()
    assert fast is not None
    work.attempt(slow)
    assert (fake.sent, state_of(payout)) == ([], State.REQUESTED)
    work.attempt(fast)
    assert (len(fake.sent), state_of(payout)) == (1, State.SENT)
    fake.transfers[payout.reference].status = PayoutStatus.SETTLED
    record.record(slow, fake, work.list_of_calls(slow, fake))
    assert (state_of(payout), money_of(user)) == (State.SENT, Money(6_000, 4_000, 0))


class Killed(BaseException):
    """The process ends here."""


def dies_before(target: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*args: Any, **kwargs: Any) -> Any:
        monkeypatch.undo()
        raise Killed

    monkeypatch.setattr(target, name, die)


def dies_after(target: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = getattr(target, name)

    def work_and_die(*args: Any, **kwargs: Any) -> Any:
        real(*args, **kwargs)
        raise Killed

    monkeypatch.setattr(target, name, work_and_die)


STEPS: list[tuple[str, Any, str]] = [
    ("before the first line", work, "attempt"),
    ("before the request is noted", work, "facts_of"),
    ("before the request is made", work, "make"),
    ("before the answer is recorded", work, "record"),
    ("before the calls are rows", record, "lock_claimed"),
    ("before the step", record, "apply"),
    ("between the step and the money", booking, "fail"),
    ("before the lease is released", record, "release_lease"),
    ("before the commit", record, "finish_events"),
]


@pytest.mark.parametrize("die", [dies_before, dies_after], ids=["before", "after"])
@pytest.mark.parametrize(("what", "module", "name"), STEPS, ids=[step[0] for step in STEPS])
def test_a_worker_that_dies_between_two_steps_neither_sends_twice_nor_loses_money(
    fake: FakeProvider,
    monkeypatch: pytest.MonkeyPatch,
    what: str,
    module: Any,
    name: str,
    die: Any,
) -> None:
    user = rich()
    payout = asked(user)
    fake.first_status = ends = PayoutStatus.SETTLED
    with monkeypatch.context() as patch:
        if name == "fail":  # the table of ends holds the function itself
            patch.setitem(record.ENDS, ends, dict.fromkeys(record.ENDS[ends], killing_end(ends)))
        else:
            die(module, name, patch)
        with pytest.raises(Killed):
            work.run_payouts()
    assert sum(money_of(user)) == 10_000
    run()
    run()
    assert fake.paid == {payout.reference: 1}
    assert set(fake.sent) == {payout.reference}
    assert state_of(payout) == State.SETTLED
    assert money_of(user) == Money(6_000, 0, 4_000)


def killing_end(status: PayoutStatus) -> record.End:
    def die(payout: Payout) -> None:
        raise Killed

    return record.ENDS[status]["requested"]._replace(book=die)
