from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.models import User
from kyc.limits import LimitExceeded, PersonalLimit, give_back, limits_of, use
from kyc.limits.errors import NoLimitSet
from kyc.limits.tests.amounts import CURRENCY, limit, used
from kyc.models import Case, LimitKind, LimitUsage
from kyc.tests.people import approved, make_person, make_reviewer
from observability.tests.samples import Change

pytestmark = pytest.mark.django_db
DAILY, MONTHLY, SINGLE, BALANCE = (
    LimitKind.DAILY,
    LimitKind.MONTHLY,
    LimitKind.SINGLE,
    LimitKind.BALANCE,
)
LAST_DAY = datetime(2026, 11, 30, 23, 59, tzinfo=UTC)


@pytest.fixture
def person() -> User:
    return make_person()


def try_to_use(
    person: User, amount: int, kinds: Collection[LimitKind] = tuple(LimitKind), at: Any = None
) -> LimitExceeded:
    with pytest.raises(LimitExceeded) as refused, transaction.atomic():
        use(person_id=person.pk, currency=CURRENCY, amount_minor=amount, kinds=kinds, at=at)
    return refused.value


def test_what_is_used_counts_in_every_window(person: User) -> None:
    limit(100)
    use(person_id=person.pk, currency=CURRENCY, amount_minor=60, kinds=tuple(LimitKind))
    use(person_id=person.pk, currency=CURRENCY, amount_minor=40)
    assert used(person.pk) == {"daily": 100, "monthly": 100, "balance": 60}


def test_the_last_unit_may_be_used_and_none_after_it(person: User) -> None:
    limit(100)
    use(person_id=person.pk, currency=CURRENCY, amount_minor=100)
    refused = try_to_use(person, 1)
    assert (refused.kind, refused.limit_minor, refused.remaining_minor) == (DAILY, 100, 0)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (SINGLE, "for one payment"),
        (DAILY, "for a day (UTC)"),
        (MONTHLY, "for a calendar month (UTC)"),
        (BALANCE, "for the balance"),
    ],
)
def test_a_refusal_says_which_limit_what_is_left_and_what_would_raise_it(
    person: User, kind: LimitKind, words: str
) -> None:
    limit(10_000)
    limit(5_000, kind)
    counted = [other for other in LimitKind if other != SINGLE]
    use(person_id=person.pk, currency=CURRENCY, amount_minor=4_000, kinds=counted)
    before = used(person.pk)
    asked, left = (5_001, "50") if kind == SINGLE else (1_001, "10")
    change = Change("amani_limit_denied_total", tier="0", kind=kind)
    refused = try_to_use(person, asked)
    assert str(refused) == (
        f"Your limit {words} is XTS 50; XTS {left} is left. To raise it: verify your NIN or BVN "
        "(a document of another country: one with a photo)."
    )
    assert (refused.code, refused.kind, refused.currency, refused.tier) == ("limit_exceeded", kind, "XTS", 0)
    assert (refused.limit_minor, refused.remaining_minor) == (5_000, int(left) * 100)
    assert used(person.pk) == before
    assert change() == 1


def test_after_a_refusal_the_callers_transaction_goes_on(person: User) -> None:
    limit(100)
    limit(50, MONTHLY)
    with transaction.atomic():
        with pytest.raises(LimitExceeded):
            use(person_id=person.pk, currency=CURRENCY, amount_minor=60, kinds=[DAILY, MONTHLY])
        use(person_id=person.pk, currency=CURRENCY, amount_minor=50, kinds=[DAILY, MONTHLY])
    assert used(person.pk) == {"daily": 50, "monthly": 50}


def test_a_refusal_is_counted_also_when_the_callers_transaction_is_rolled_back(person: User) -> None:
    limit(0)
    change = Change("amani_limit_denied_total", tier="0", kind="single")
    try_to_use(person, 1)
    assert (change(), used(person.pk)) == (1, {})


def test_what_is_used_is_undone_with_the_callers_transaction(person: User) -> None:
    limit(100)
    with transaction.atomic():
        use(person_id=person.pk, currency=CURRENCY, amount_minor=60)
        transaction.set_rollback(True)
    assert used(person.pk) == {}


def test_a_day_and_a_month_end_at_midnight_utc(person: User) -> None:
    limit(100, since=LAST_DAY - timedelta(days=60))
    lagos = LAST_DAY.astimezone(timezone.get_fixed_timezone(60))
    assert lagos.day == 1
    use(person_id=person.pk, currency=CURRENCY, amount_minor=100, at=lagos)
    try_to_use(person, 1, [DAILY], LAST_DAY)
    try_to_use(person, 1, [MONTHLY], LAST_DAY - timedelta(days=29))
    use(person_id=person.pk, currency=CURRENCY, amount_minor=100, at=LAST_DAY + timedelta(minutes=1))
    starts = LimitUsage.objects.order_by("kind", "window_start").values_list("kind", "window_start")
    assert [(kind, str(start)) for kind, start in starts] == [
        ("daily", "2026-11-30"),
        ("daily", "2026-12-01"),
        ("monthly", "2026-11-01"),
        ("monthly", "2026-12-01"),
    ]


def test_what_is_given_back_may_be_used_again_in_the_window_it_came_from(person: User) -> None:
    limit(100, since=LAST_DAY)
    use(person_id=person.pk, currency=CURRENCY, amount_minor=100, at=LAST_DAY)
    tomorrow = LAST_DAY + timedelta(days=1)
    use(person_id=person.pk, currency=CURRENCY, amount_minor=80, at=tomorrow)
    give_back(person_id=person.pk, currency=CURRENCY, amount_minor=30, at=LAST_DAY)
    use(person_id=person.pk, currency=CURRENCY, amount_minor=30, at=LAST_DAY)
    try_to_use(person, 1, at=LAST_DAY)
    assert list(LimitUsage.objects.order_by("pk").values_list("used_minor", flat=True)) == [100, 100, 80, 80]


def test_giving_back_stops_at_zero_and_changes_no_other_person(person: User) -> None:
    limit(100)
    other = make_person()
    now = timezone.now()
    for payer in (person, other):
        use(person_id=payer.pk, currency=CURRENCY, amount_minor=10, at=now)
    give_back(person_id=person.pk, currency=CURRENCY, amount_minor=11, at=now)
    assert used(person.pk) == {"daily": 0, "monthly": 0}
    assert used(other.pk) == {"daily": 10, "monthly": 10}


def test_a_single_payment_has_nothing_to_give_back_and_asks_the_database_nothing(
    person: User, django_assert_num_queries: Any
) -> None:
    limit(100)
    use(person_id=person.pk, currency=CURRENCY, amount_minor=100, kinds=[SINGLE])
    with django_assert_num_queries(0):
        give_back(person_id=person.pk, currency=CURRENCY, amount_minor=100, kinds=[SINGLE], at=timezone.now())
    assert used(person.pk) == {}


def test_only_the_named_kinds_in_the_named_currency_are_given_back(person: User) -> None:
    limit(100)
    limit(100, currency="JPY")
    now = timezone.now()
    for currency in (CURRENCY, "JPY"):
        use(person_id=person.pk, currency=currency, amount_minor=50, kinds=tuple(LimitKind), at=now)
    give_back(person_id=person.pk, currency="JPY", amount_minor=20, kinds=[SINGLE, DAILY], at=now)
    assert used(person.pk, "JPY") == {"daily": 30, "monthly": 50, "balance": 50}
    assert used(person.pk) == {"daily": 50, "monthly": 50, "balance": 50}


@pytest.mark.django_db(transaction=True)
def test_outside_a_transaction_nothing_is_used_or_given_back(person: User) -> None:
    limit(100)
    now = timezone.now()
    with transaction.atomic():
        use(person_id=person.pk, currency=CURRENCY, amount_minor=50, at=now)
    with pytest.raises(RuntimeError, match="inside the transaction"):
        use(person_id=person.pk, currency=CURRENCY, amount_minor=1, at=now)
    with pytest.raises(RuntimeError, match="inside the transaction"):
        give_back(person_id=person.pk, currency=CURRENCY, amount_minor=1, at=now)
    assert used(person.pk) == {"daily": 50, "monthly": 50}


def test_kinds_that_are_not_asked_for_limit_nothing(person: User) -> None:
    limit(100, DAILY)
    limit(10, SINGLE, BALANCE)
    use(person_id=person.pk, currency=CURRENCY, amount_minor=100, kinds=[DAILY])
    assert used(person.pk) == {"daily": 100}


def test_a_payment_of_exactly_the_single_limit_is_allowed(person: User) -> None:
    limit(100, SINGLE)
    use(person_id=person.pk, currency=CURRENCY, amount_minor=100, kinds=[SINGLE])
    refused = try_to_use(person, 101, [SINGLE])
    assert (refused.kind, refused.remaining_minor) == (SINGLE, 100)


def test_a_lowered_limit_refuses_what_comes_next_and_takes_back_what_comes_back(person: User) -> None:
    limit(100)
    use(person_id=person.pk, currency=CURRENCY, amount_minor=80, kinds=[BALANCE])
    limit(50)
    refused = try_to_use(person, 1, [BALANCE])
    assert (refused.limit_minor, refused.remaining_minor) == (50, 0)
    now = timezone.now()
    give_back(person_id=person.pk, currency=CURRENCY, amount_minor=20, kinds=[BALANCE], at=now)
    assert used(person.pk) == {"balance": 60}
    try_to_use(person, 1, [BALANCE])
    give_back(person_id=person.pk, currency=CURRENCY, amount_minor=20, kinds=[BALANCE], at=now)
    use(person_id=person.pk, currency=CURRENCY, amount_minor=10, kinds=[BALANCE])
    assert used(person.pk) == {"balance": 50}


def test_a_higher_tier_has_its_own_limits_and_keeps_what_was_used() -> None:
    person, reviewer = make_person(), make_reviewer()
    limit(100, DAILY)
    limit(150, DAILY, tier=1)
    use(person_id=person.pk, currency=CURRENCY, amount_minor=100, kinds=[DAILY])
    approved(reviewer, person, document_type="nin", number="12345678901")
    use(person_id=person.pk, currency=CURRENCY, amount_minor=50, kinds=[DAILY])
    refused = try_to_use(person, 1, [DAILY])
    assert (refused.tier, refused.limit_minor) == (1, 150)
    Case.objects.filter(person=person).update(expires_at=timezone.now())
    refused = try_to_use(person, 1, [DAILY])
    assert (refused.tier, refused.limit_minor, refused.remaining_minor) == (0, 100, 0)


def test_the_tier_is_that_of_the_moment_of_the_use() -> None:
    person, reviewer = make_person(), make_reviewer()
    limit(10, DAILY)
    limit(100, DAILY, tier=1)
    approved(reviewer, person, document_type="nin", number="12345678901")
    end = timezone.now() + timedelta(days=1)
    Case.objects.filter(person=person).update(expires_at=end)
    use(person_id=person.pk, currency=CURRENCY, amount_minor=50, kinds=[DAILY])
    refused = try_to_use(person, 50, [DAILY], end)
    assert (refused.tier, refused.limit_minor) == (0, 10)


@pytest.mark.parametrize("asked", [21, 101])
def test_what_is_left_is_that_of_the_person_the_kind_the_currency_and_the_window(
    person: User, asked: int
) -> None:
    limit(100, since=LAST_DAY - timedelta(days=60))
    limit(100, currency="JPY", since=LAST_DAY - timedelta(days=60))
    earlier, other = LAST_DAY - timedelta(days=1), make_person()
    for payer, currency, amount, kind, at in (
        (person, CURRENCY, 5, BALANCE, LAST_DAY),
        (person, CURRENCY, 30, DAILY, earlier),
        (other, CURRENCY, 40, DAILY, LAST_DAY),
        (person, "JPY", 50, DAILY, LAST_DAY),
        (person, CURRENCY, 80, DAILY, LAST_DAY),
        (person, CURRENCY, 60, MONTHLY, LAST_DAY),
    ):
        use(person_id=payer.pk, currency=currency, amount_minor=amount, kinds=[kind], at=at)
    assert try_to_use(person, asked, [DAILY], LAST_DAY).remaining_minor == 20


def test_on_the_first_of_a_month_the_day_and_the_month_are_told_apart(person: User) -> None:
    """Their windows begin on the same date."""
    first = LAST_DAY + timedelta(days=1)
    limit(100, since=LAST_DAY)
    use(person_id=person.pk, currency=CURRENCY, amount_minor=60, kinds=[MONTHLY], at=first)
    use(person_id=person.pk, currency=CURRENCY, amount_minor=80, kinds=[DAILY], at=first)
    assert try_to_use(person, 21, [DAILY], first).remaining_minor == 20
    assert try_to_use(person, 41, [MONTHLY], first).remaining_minor == 40


def test_a_person_who_used_nothing_has_the_whole_limit_left(person: User) -> None:
    limit(100, DAILY)
    refused = try_to_use(person, 101, [DAILY])
    assert (refused.kind, refused.remaining_minor) == (DAILY, 100)


def test_a_currency_without_a_limit_is_refused(person: User) -> None:
    limit(100, SINGLE, DAILY)
    with pytest.raises(NoLimitSet, match=r"XTS can't be used at your tier \(0\)") as refused:
        use(person_id=person.pk, currency=CURRENCY, amount_minor=1)
    assert (refused.value.kind, refused.value.code) == (MONTHLY, "no_limit_set")
    assert used(person.pk) == {}


@pytest.mark.parametrize("amount", [0, -1])
def test_nothing_and_less_than_nothing_can_not_be_used(person: User, amount: int) -> None:
    limit(100)
    with pytest.raises(ValueError, match="positive"):
        use(person_id=person.pk, currency=CURRENCY, amount_minor=amount)
    with pytest.raises(ValueError, match="positive"):
        give_back(person_id=person.pk, currency=CURRENCY, amount_minor=amount, at=timezone.now())
    assert used(person.pk) == {}


def test_limits_are_asked_by_kind(person: User) -> None:
    with pytest.raises(ValueError, match="at least one kind"):
        use(person_id=person.pk, currency=CURRENCY, amount_minor=1, kinds=[])
    with pytest.raises(ValueError, match="at least one kind"):
        give_back(person_id=person.pk, currency=CURRENCY, amount_minor=1, kinds=[], at=timezone.now())


def test_no_amount_is_too_large_to_be_refused(person: User) -> None:
    limit(10**17)
    use(person_id=person.pk, currency=CURRENCY, amount_minor=10**17)
    assert try_to_use(person, 10**30).remaining_minor == 10**17


@pytest.mark.parametrize(
    ("changes", "constraint"),
    [({"used_minor": 101}, "usage_stays_within_the_limit"), ({"used_minor": -1}, "usage_is_not_negative")],
)
def test_the_database_itself_refuses_more_than_the_limit_and_less_than_nothing(
    person: User, changes: dict[str, int], constraint: str
) -> None:
    limit(100)
    use(person_id=person.pk, currency=CURRENCY, amount_minor=50, kinds=[DAILY])
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        LimitUsage.objects.filter(person=person).update(**changes)
    assert used(person.pk) == {"daily": 50}


def test_a_use_costs_the_same_few_queries_for_any_number_of_kinds(
    person: User, django_assert_num_queries: Any
) -> None:
    limit(100)
    with django_assert_num_queries(5):  # tier, rules, savepoint, rows, release
        use(person_id=person.pk, currency=CURRENCY, amount_minor=1, kinds=list(LimitKind))
    with django_assert_num_queries(3):  # one kind needs no savepoint
        use(person_id=person.pk, currency=CURRENCY, amount_minor=1, kinds=[DAILY])
    with django_assert_num_queries(2):
        use(person_id=person.pk, currency=CURRENCY, amount_minor=1, kinds=[DAILY], tier=0)


def test_a_limit_that_is_used_up_refuses_without_a_savepoint_and_the_transaction_goes_on(
    person: User,
) -> None:
    limit(100)
    with pytest.raises(LimitExceeded):
        use(person_id=person.pk, currency=CURRENCY, amount_minor=101, kinds=[DAILY])
    use(person_id=person.pk, currency=CURRENCY, amount_minor=100, kinds=[DAILY])
    with pytest.raises(LimitExceeded):
        use(person_id=person.pk, currency=CURRENCY, amount_minor=1, kinds=[DAILY])
    assert used(person.pk) == {"daily": 100}


def test_remaining_limits_of_every_tier_are_returned(person: User, django_assert_num_queries: Any) -> None:
    limit(100, SINGLE, BALANCE)
    limit(30, DAILY, currency="JPY", since=timezone.now() - timedelta(days=1))
    use(person_id=person.pk, currency=CURRENCY, amount_minor=70, kinds=[BALANCE])
    use(person_id=person.pk, currency="JPY", amount_minor=30, kinds=[DAILY])
    limit(20, DAILY, currency="JPY")
    use(person_id=make_person().pk, currency=CURRENCY, amount_minor=1, kinds=[BALANCE])
    with django_assert_num_queries(3):
        standing = [row for row in limits_of(person_id=person.pk) if row.currency in {CURRENCY, "JPY"}]
    assert standing == [
        PersonalLimit("JPY", DAILY, 20, 30, 0),
        PersonalLimit(CURRENCY, SINGLE, 100, 0, 100),
        PersonalLimit(CURRENCY, BALANCE, 100, 70, 30),
    ]


def test_yesterdays_use_is_not_todays(person: User) -> None:
    limit(100, DAILY, since=LAST_DAY)
    use(person_id=person.pk, currency=CURRENCY, amount_minor=70, kinds=[DAILY], at=LAST_DAY)
    today = [row for row in limits_of(person_id=person.pk, at=LAST_DAY) if row.currency == CURRENCY]
    assert today == [PersonalLimit(CURRENCY, DAILY, 100, 70, 30)]
    after = limits_of(person_id=person.pk, at=LAST_DAY + timedelta(days=1))
    assert [row for row in after if row.currency == CURRENCY] == [PersonalLimit(CURRENCY, DAILY, 100, 0, 100)]
