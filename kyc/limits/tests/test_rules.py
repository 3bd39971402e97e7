from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from kyc.errors import KycError, NotAllowed, ReasonMissing
from kyc.limits import rule_at, set_limit
from kyc.limits.errors import LimitTaken, LimitUnchanged, WrongLimit
from kyc.limits.rules import rules_at
from kyc.limits.shipped import SHIPPED, ensure_limits
from kyc.limits.tests.amounts import CURRENCY, limit
from kyc.models import LimitKind, LimitRule
from kyc.tests.people import make_approver, make_operator

pytestmark = pytest.mark.django_db


def asked(**changes: Any) -> dict[str, Any]:
    return {
        "tier": 1,
        "currency": CURRENCY,
        "kind": "daily",
        "amount_minor": 500,
        "reason": "A new circular.",
        **changes,
    }


def amount_at(moment: Any) -> int | None:
    rule = rule_at(tier=1, currency=CURRENCY, kind=LimitKind.DAILY, at=moment)
    return rule.amount_minor if rule else None


def test_a_limit_holds_from_its_moment_until_the_next() -> None:
    now = timezone.now()
    limit(100, LimitKind.DAILY, tier=1, since=now - timedelta(days=2))
    limit(200, LimitKind.DAILY, tier=1, since=now + timedelta(days=1))
    assert amount_at(now - timedelta(days=3)) is None
    assert amount_at(now - timedelta(days=2)) == 100
    assert amount_at(None) == 100
    assert amount_at(now + timedelta(days=1)) == 200
    assert rule_at(tier=2, currency=CURRENCY, kind=LimitKind.DAILY) is None
    assert rule_at(tier=1, currency="NGN", kind=LimitKind.DAILY) is not None


def test_an_approver_sets_a_limit_from_now_or_from_a_moment_on() -> None:
    approver = make_approver()
    rule = set_limit(**asked(), actor=approver)
    soon = timezone.now() + timedelta(days=1)
    set_limit(**asked(amount_minor=0, reason="  Closed. "), actor=approver, valid_from=soon)
    assert (rule.created_by, rule.reason) == (approver, "A new circular.")
    assert [amount_at(None), amount_at(soon)] == [500, 0]
    assert LimitRule.objects.get(valid_from=soon).reason == "Closed."


@pytest.mark.parametrize("role", ["viewer", "responder", "kyc reviewer", "finance"])
def test_other_roles_cannot_set_a_limit(role: str) -> None:
    with pytest.raises(NotAllowed):
        set_limit(**asked(), actor=make_operator(role))
    assert not LimitRule.objects.filter(currency=CURRENCY).exists()


@pytest.mark.parametrize(
    ("changes", "error", "field"),
    [
        ({"tier": 4}, WrongLimit, "tier"),
        ({"tier": -1}, WrongLimit, "tier"),
        ({"currency": "ABC"}, WrongLimit, "currency"),
        ({"currency": "ngn"}, WrongLimit, "currency"),
        ({"kind": "yearly"}, WrongLimit, "kind"),
        ({"amount_minor": -1}, WrongLimit, "amount_minor"),
        ({"amount_minor": 10**17 + 1}, WrongLimit, "amount_minor"),
        ({"reason": " "}, ReasonMissing, "reason"),
        ({"valid_from": timezone.now() - timedelta(minutes=1)}, WrongLimit, "valid_from"),
    ],
)
def test_what_can_be_no_limit_is_refused_by_its_field(
    changes: dict[str, Any], error: type[KycError], field: str
) -> None:
    with pytest.raises(error) as refused:
        set_limit(**asked(**changes), actor=make_approver())
    assert list(refused.value.fields) == [field]
    assert not LimitRule.objects.exclude(currency__in=["NGN", "USD"]).exists()


@pytest.mark.parametrize(
    "changes",
    [{"tier": 0}, {"tier": 3}, {"amount_minor": 0}, {"amount_minor": 10**17}, {"kind": "balance"}],
)
def test_limit_at_the_end_of_what_is_possible_is_taken(changes: dict[str, Any]) -> None:
    wanted = asked(**changes)
    rule = set_limit(**wanted, actor=make_approver())
    stored = LimitRule.objects.get(pk=rule.pk)
    assert {name: getattr(stored, name) for name in wanted} == wanted


def test_limit_may_begin_now_and_not_before(monkeypatch: pytest.MonkeyPatch) -> None:
    now = timezone.now()
    approver = make_approver()
    monkeypatch.setattr(timezone, "now", lambda: now)
    with pytest.raises(WrongLimit, match=r"^A limit can't begin in the past, .* decisions\.$") as refused:
        set_limit(**asked(), actor=approver, valid_from=now - timedelta(microseconds=1))
    assert refused.value.fields == {"valid_from": ["Choose a time in the future, or leave it empty for now."]}
    assert set_limit(**asked(), actor=approver, valid_from=now).valid_from == now


@pytest.mark.django_db(transaction=True)
def test_limits_of_one_kind_tier_and_currency_are_set_one_after_another() -> None:
    """Two at once could both find that there is none yet."""
    with transaction.atomic():
        set_limit(**asked(), actor=make_approver())
        with psycopg.connect(**connection.get_connection_params()) as other:
            free = {
                cell: other.execute(
                    "SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))", [f"limit:{cell}"]
                ).fetchone()
                for cell in ("1:XTS:daily", "2:XTS:daily", "1:JPY:daily", "1:XTS:monthly")
            }
    assert [cell for cell, row in free.items() if row == (False,)] == ["1:XTS:daily"]


def test_limit_without_a_moment_begins_now(monkeypatch: pytest.MonkeyPatch) -> None:
    now = timezone.now()
    approver = make_approver()
    monkeypatch.setattr(timezone, "now", lambda: now)
    assert set_limit(**asked(), actor=approver).valid_from == now


def test_reason_of_a_limit_is_cut() -> None:
    assert set_limit(**asked(reason="x" * 2001), actor=make_approver()).reason == "x" * 2000


def test_same_amount_of_another_kind_tier_or_currency_is_another_limit() -> None:
    approver = make_approver()
    for changes in ({}, {"kind": "monthly"}, {"tier": 2}, {"currency": "JPY"}):
        set_limit(**asked(**changes), actor=approver)
    assert LimitRule.objects.filter(amount_minor=500, reason="A new circular.").count() == 4


def test_all_that_is_wrong_with_a_limit_is_said_at_once() -> None:
    wrong = asked(tier=9, currency="?", kind="yearly", amount_minor=-1)
    with pytest.raises(WrongLimit) as refused:
        set_limit(**wrong, actor=make_approver())
    assert refused.value.fields == {
        "tier": ["Use 0 to 3."],
        "currency": ["Use an ISO 4217 code, for example NGN."],
        "kind": [f"Use one of {', '.join(LimitKind.values)}."],
        "amount_minor": ["Use 0 to 100,000,000,000,000,000."],
    }


def test_rules_at_a_moment_are_the_newest_of_each_kind_that_is_asked_for() -> None:
    now = timezone.now()
    for amount, since in ((1, now - timedelta(days=2)), (2, now), (3, now + timedelta(microseconds=1))):
        limit(amount, LimitKind.DAILY, LimitKind.MONTHLY, LimitKind.BALANCE, tier=1, since=since)
    found = rules_at(tier=1, currency=CURRENCY, kinds=[LimitKind.DAILY, LimitKind.MONTHLY], at=now)
    assert {kind: rule.amount_minor for kind, rule in found.items()} == {
        LimitKind.DAILY: 2,
        LimitKind.MONTHLY: 2,
    }


def test_what_is_set_stays() -> None:
    approver, soon = make_approver(), timezone.now() + timedelta(days=1)
    set_limit(**asked(), actor=approver, valid_from=soon)
    with pytest.raises(LimitTaken):
        set_limit(**asked(amount_minor=600), actor=approver, valid_from=soon)
    with pytest.raises(LimitUnchanged):
        set_limit(**asked(), actor=approver, valid_from=soon + timedelta(days=1))
    assert LimitRule.objects.filter(currency=CURRENCY).count() == 1


@pytest.mark.parametrize("sql", ["UPDATE kyc_limitrule SET amount_minor = 1", "DELETE FROM kyc_limitrule"])
def test_the_database_refuses_to_change_a_limit(sql: str) -> None:
    before = list(LimitRule.objects.values_list("pk", "amount_minor"))
    with pytest.raises(DatabaseError, match="Cannot update or delete"), transaction.atomic():
        connection.cursor().execute(sql)
    assert list(LimitRule.objects.values_list("pk", "amount_minor")) == before


def test_the_limits_of_the_circular_are_there_after_migrate() -> None:
    rules = LimitRule.objects.filter(currency="NGN", tier__in=[1, 2], kind__in=["single", "balance"])
    shipped = {(rule.tier, rule.kind): rule.amount_minor for rule in rules}
    assert shipped == {
        (1, "single"): 50_000_00,
        (1, "balance"): 300_000_00,
        (2, "single"): 100_000_00,
        (2, "balance"): 500_000_00,
    }


def test_tier_0_may_not_move_money() -> None:
    assert set(LimitRule.objects.filter(tier=0).values_list("amount_minor", flat=True)) == {0}


def test_a_higher_tier_never_has_a_lower_limit_and_longer_windows_no_smaller_one() -> None:
    for currency in ("NGN", "USD"):
        rows = [shipped.amounts for shipped in SHIPPED if shipped.currency == currency]
        assert [sorted(column) for column in zip(*rows, strict=True)] == [
            list(column) for column in zip(*rows, strict=True)
        ]
        assert all(single <= daily <= monthly for single, daily, monthly, _ in rows)


def test_migrating_again_adds_nothing_and_changes_nothing() -> None:
    set_limit(**asked(currency="NGN", amount_minor=7), actor=make_approver())
    before = list(LimitRule.objects.order_by("pk").values_list("pk", "amount_minor"))
    ensure_limits()
    assert list(LimitRule.objects.order_by("pk").values_list("pk", "amount_minor")) == before
    rule = rule_at(tier=1, currency="NGN", kind=LimitKind.DAILY)
    assert rule is not None
    assert rule.amount_minor == 7
