"""Tests which fee is valid when, who sets one, what is refused, and that what was proposed keeps its fee."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from escrow import escrows
from escrow.errors import (
    FeeTaken,
    FeeUnchanged,
    NotAllowed,
    ReasonMissing,
    WrongCurrency,
    WrongFee,
)
from escrow.escrows.fee_rules import HIGHEST_MINOR, rule_at, set_fee, shipped_in_force, terms_of
from escrow.escrows.fees import Terms
from escrow.escrows.shipped import SHIPPED, ensure_fees
from escrow.escrows.tests.deals import NAIRA, agree, books, draft, make_freezer, make_party, pay, proposed
from escrow.models import FeeRule
from kyc.tests.people import make_operator

pytestmark = pytest.mark.django_db

TWO_PERCENT = Terms(200, 0, 0, None)
NOTHING = Terms(0, 0, 0, None)


def wanted(**changes: Any) -> dict[str, Any]:
    return {"currency": "NGN", "terms": TWO_PERCENT, "reason": "Costs rose.", **changes}


def fee_at(moment: Any, currency: str = "NGN") -> Terms | None:
    rule = rule_at(currency, moment)
    return terms_of(rule) if rule else None


def test_an_approver_sets_a_fee_from_now_or_from_a_time_on() -> None:
    approver, soon = make_freezer(), timezone.now() + timedelta(days=1)
    example = fee_at(timezone.now())
    rule = set_fee(**wanted(reason="  Costs rose. "), actor=approver)
    later = set_fee(**wanted(terms=NOTHING), actor=approver, from_at=soon)
    assert (rule.created_by, rule.reason) == (approver, "Costs rose.")
    assert fee_at(rule.from_at - timedelta(microseconds=1)) == example
    assert [fee_at(moment) for moment in (rule.from_at, soon - timedelta(microseconds=1))] == [
        TWO_PERCENT
    ] * 2
    assert (fee_at(soon), later.from_at) == (NOTHING, soon)


@pytest.mark.parametrize("role", ["viewer", "responder", "kyc reviewer", "finance"])
def test_other_roles_set_no_fee(role: str) -> None:
    before = FeeRule.objects.count()
    with pytest.raises(NotAllowed):
        set_fee(**wanted(), actor=make_operator(role))
    assert FeeRule.objects.count() == before


AMOUNT = "Use an amount from 0 to what an escrow may have."
CODE = "Use an ISO 4217 code, for example NGN."
PERCENT = "Use 0 to 99.99 %."
BELOW = "The maximum must not be below the minimum."
FUTURE = "Choose a time in the future, or leave it empty for now."


@pytest.mark.parametrize(
    ("changes", "field", "text"),
    [
        ({"currency": "ABC"}, "currency", CODE),
        ({"currency": "ngn"}, "currency", CODE),
        ({"terms": Terms(-1, 0, 0, None)}, "percent_basis_points", PERCENT),
        ({"terms": Terms(10_000, 0, 0, None)}, "percent_basis_points", PERCENT),
        ({"terms": Terms(0, -1, 0, None)}, "fixed_minor", AMOUNT),
        ({"terms": Terms(0, 0, -1, None)}, "minimum_minor", AMOUNT),
        ({"terms": Terms(0, 0, 0, -1)}, "maximum_minor", AMOUNT),
        ({"terms": Terms(0, 0, 0, HIGHEST_MINOR + 1)}, "maximum_minor", AMOUNT),
        ({"terms": Terms(0, 0, 100, 99)}, "maximum_minor", BELOW),
        ({"from_at": timezone.now() - timedelta(seconds=1)}, "from_at", FUTURE),
    ],
)
def test_what_can_be_no_fee_is_refused_by_its_field(changes: dict[str, Any], field: str, text: str) -> None:
    before = FeeRule.objects.count()
    with pytest.raises(WrongFee) as refused:
        set_fee(**wanted(**changes), actor=make_freezer())
    assert refused.value.fields == {field: [text]}
    assert FeeRule.objects.count() == before


def test_a_fee_needs_a_reason() -> None:
    before = FeeRule.objects.count()
    with pytest.raises(ReasonMissing) as refused:
        set_fee(**wanted(reason=" "), actor=make_freezer())
    assert list(refused.value.fields) == ["reason"]
    assert FeeRule.objects.count() == before


@pytest.mark.parametrize(
    "terms", [NOTHING, Terms(9_999, 0, 0, 0), Terms(0, HIGHEST_MINOR, HIGHEST_MINOR, HIGHEST_MINOR)]
)
def test_a_fee_at_the_end_of_what_is_possible_is_taken(terms: Terms) -> None:
    rule = set_fee(**wanted(currency="JPY", terms=terms), actor=make_freezer())
    assert terms_of(FeeRule.objects.get(pk=rule.pk)) == terms


def test_one_currency_has_one_fee_from_a_time_on() -> None:
    approver, soon = make_freezer(), timezone.now() + timedelta(days=1)
    set_fee(**wanted(), actor=approver, from_at=soon)
    with pytest.raises(FeeTaken):
        set_fee(**wanted(terms=NOTHING), actor=approver, from_at=soon)
    with pytest.raises(FeeUnchanged):
        set_fee(**wanted(), actor=approver, from_at=soon + timedelta(days=1))
    set_fee(**wanted(currency="USD"), actor=approver, from_at=soon)
    assert FeeRule.objects.filter(from_at__gte=soon).count() == 2


def test_two_fees_that_begin_at_the_same_instant_are_a_conflict(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both have passed the check before the first is stored."""
    approver, soon = make_freezer(), timezone.now() + timedelta(days=1)
    set_fee(**wanted(), actor=approver, from_at=soon)
    monkeypatch.setattr("escrow.escrows.fee_rules.refuse_pointless", lambda *_: None)
    with pytest.raises(FeeTaken):
        set_fee(**wanted(terms=NOTHING), actor=approver, from_at=soon)
    assert FeeRule.objects.filter(from_at=soon).count() == 1


def test_an_example_becomes_ones_own_by_setting_the_same_figures() -> None:
    assert shipped_in_force(timezone.now()) == [currency for currency, *_ in SHIPPED]
    naira = Terms(*next(figures for currency, *figures in SHIPPED if currency == "NGN"))
    set_fee(**wanted(terms=naira), actor=make_freezer())
    assert shipped_in_force(timezone.now()) == ["USD"]
    ensure_fees()
    assert fee_at(timezone.now()) == naira
    with pytest.raises(FeeUnchanged):
        set_fee(**wanted(terms=naira), actor=make_freezer())


def test_what_was_proposed_or_agreed_keeps_its_fee() -> None:
    """A new fee is of the terms that are written after it."""
    offer, agreed = proposed(), proposed()
    agreed = agreed._replace(escrow=agree(agreed))
    set_fee(**wanted(terms=Terms(1_000, 0, 0, None)), actor=make_freezer())
    assert agree(offer).due_minor == agreed.escrow.due_minor == 101_500 * NAIRA
    pay(agreed.escrow, agreed.escrow.due_minor)
    escrows.approve(actor=agreed.buyer, public_id=agreed.first.public_id)
    assert books(agreed)[:2] == (40_600 * NAIRA, 60_000 * NAIRA)
    assert proposed().escrow.due_minor == 110_000 * NAIRA


def test_an_escrow_without_a_fee_goes_its_whole_way() -> None:
    set_fee(**wanted(terms=NOTHING), actor=make_freezer())
    deal = proposed(1)
    deal = deal._replace(escrow=agree(deal))
    assert deal.escrow.due_minor == 1
    pay(deal.escrow, 1)
    escrows.approve(actor=deal.buyer, public_id=deal.first.public_id)
    assert books(deal)[:2] == (0, 1)


def test_a_currency_can_be_used_once_it_has_a_fee() -> None:
    buyer = make_party()
    words: dict[str, Any] = {"role": "buyer", "currency": "KWD", "draft": draft(10_000)}
    with pytest.raises(WrongCurrency):
        escrows.save_draft(creator=buyer, **words)
    set_fee(**wanted(currency="KWD", terms=Terms(100, 0, 0, None)), actor=make_freezer())
    assert escrows.save_draft(creator=buyer, **words).due_minor == 10_100
