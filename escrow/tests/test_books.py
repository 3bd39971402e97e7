"""The snapshot sees what is wrong in the books, also what only the owner of the tables could do."""

from __future__ import annotations

import pytest
from django.db import connection
from django.utils import timezone

from escrow import snapshot_metrics, stops
from escrow.ledger import counting, drift
from escrow.ledger.tests.books import fund, hold, owe
from escrow.models import LedgerAccount, LedgerBalance, LedgerEntry, LedgerFinding, LedgerWatch, MoneyStop
from escrow.snapshot import check_books, take_snapshot
from observability.metrics import REGISTRY

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _a_recount_reaches_the_newest_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many ids earlier tests of this process have used."""
    monkeypatch.setattr(counting, "RECOUNTED_AT_ONCE", 10**9)


def sample(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


def as_owner(*statements: str) -> None:
    """Changes the ledger as a person could who owns its tables."""
    tables = ("ledger_balance", "ledger_entry", "ledger_transfer")
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # else PostgreSQL alters no table with pending checks
        for table in tables:
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        for statement in statements:
            cursor.execute(statement)
        for table in tables:
            cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")


def posted() -> None:
    """Three escrows that hold money, a seller who is owed some, and a payout."""
    for number, currency in enumerate(("NGN", "NGN", "USD"), 1):
        fund(number, 1_000 * number, currency)
    owe(7, 900)
    hold(7, 400)


def account_of(kind: str, owner: str = "1") -> LedgerAccount:
    return LedgerAccount.objects.get(kind=kind, owner=owner)


def open_stops() -> dict[str, str]:
    return dict(MoneyStop.objects.filter(cleared_at=None).values_list("cause", "detail"))


def test_books_that_are_right_stop_nothing() -> None:
    posted()
    for _ in range(3):
        take_snapshot()
    assert open_stops() == {}
    assert not LedgerFinding.objects.exists()
    assert sample("amani_ledger_imbalance_minor", currency="NGN") == 0
    assert sample("amani_ledger_balance_drift_accounts", currency="NGN") == 0
    assert sample("amani_ledger_negative_accounts", kind="seller_payable") == 0
    assert sample("amani_escrow_funds_held_minor", currency="NGN") == 3_000
    assert sample("amani_escrow_funds_held_minor", currency="USD") == 3_000
    assert sample("amani_escrow_liability_minor", currency="NGN") == 3_900
    assert sample("amani_escrow_money_stopped", cause="drift") == 0
    stops.refuse_while_stopped()


def test_a_currency_is_shown_from_its_first_entry_on_and_goes_back_to_zero() -> None:
    fund(1, 5_000, "KWD")
    take_snapshot()
    assert sample("amani_escrow_funds_held_minor", currency="KWD") == 5_000
    snapshot_metrics.record_sums({})
    assert sample("amani_escrow_funds_held_minor", currency="KWD") == 0


def test_the_gauges_of_nothing_are_zero_and_the_snapshot_says_when_it_was_taken() -> None:
    before = timezone.now().timestamp()
    take_snapshot()
    for currency in snapshot_metrics.CURRENCIES:
        assert sample("amani_ledger_imbalance_minor", currency=currency) == 0
        assert sample("amani_ledger_suspense_minor", currency=currency) == 0
    taken = sample("amani_escrow_snapshot_timestamp_seconds")
    assert taken is not None
    assert taken >= before


ADDED = "UPDATE ledger_balance SET posted_minor = posted_minor + {} WHERE account_id = {}"
INSERTED = (
    "INSERT INTO ledger_entry (transfer_id, position, account_id, shard, currency, amount_minor, version,"
    " balance_before_minor, balance_after_minor) SELECT transfer_id, 9, account_id, shard, currency, -5, 2,"
    " balance_after_minor, balance_after_minor - 5 FROM ledger_entry WHERE account_id = {0};"
    " UPDATE ledger_balance SET version = 2, posted_minor = posted_minor - 5 WHERE account_id = {0}"
)


def test_an_entry_without_its_counterpart_is_an_imbalance() -> None:
    posted()
    take_snapshot()
    as_owner(INSERTED.format(account_of("escrow_held").pk))
    take_snapshot()
    assert sample("amani_ledger_imbalance_minor", currency="NGN") == -5
    assert sample("amani_ledger_imbalance_minor", currency="USD") == 0
    assert open_stops() == {"imbalance": "NGN -0.05"}
    assert sample("amani_escrow_money_stopped", cause="imbalance") == 1


AMOUNT_CHANGED = (
    "UPDATE ledger_entry SET (amount_minor, balance_after_minor) ="
    " (amount_minor + 1, balance_after_minor + 1) WHERE account_id = {0} AND version = 1"
)
BEFORE_CHANGED = (
    "UPDATE ledger_entry SET (balance_before_minor, balance_after_minor) ="
    " (balance_before_minor + 1, balance_after_minor + 1) WHERE account_id = {0} AND version = 2"
)


@pytest.mark.parametrize(
    ("change", "entry_is_named"),
    [
        ("UPDATE ledger_balance SET posted_minor = posted_minor + 1 WHERE account_id = {0}", False),
        ("UPDATE ledger_balance SET version = version + 1 WHERE account_id = {0}", False),
        ("DELETE FROM ledger_balance WHERE account_id = {0}", False),
        ("DELETE FROM ledger_entry WHERE account_id = {0} AND version = 1", True),
        (
            AMOUNT_CHANGED,
            True,
        ),
        (
            BEFORE_CHANGED,
            True,
        ),
    ],
    ids=["balance", "version", "no balance", "an entry is gone", "an amount", "a balance before"],
)
def test_what_the_owner_changes_in_an_account_is_a_drift(change: str, entry_is_named: bool) -> None:
    posted()
    fund(1, 50)
    take_snapshot()
    account = account_of("escrow_held")
    as_owner(change.format(account.pk))
    take_snapshot()
    assert sample("amani_ledger_balance_drift_accounts", currency="USD") == 0
    drifted = sample("amani_ledger_balance_drift_accounts", currency="NGN")
    assert drifted is not None
    assert drifted >= 1
    assert str(account) in open_stops()["drift"]
    found = LedgerFinding.objects.filter(account_id=account.pk, problem="drift")
    assert any(finding.entry_id for finding in found) == entry_is_named


def test_a_balance_that_was_never_used_must_be_zero() -> None:
    fund(1, 50)
    unused = LedgerBalance.objects.filter(account__kind="provider_clearing", version=0)[0]
    as_owner(ADDED.format(7, unused.account_id) + f" AND shard = {unused.shard}")
    take_snapshot()
    assert list(open_stops()) == ["drift"]


def test_a_customer_below_zero_is_seen_when_the_constraint_is_gone() -> None:
    posted()
    take_snapshot()
    as_owner("ALTER TABLE ledger_balance DROP CONSTRAINT a_balance_never_goes_below_its_floor")
    hold(7, 2_000)
    take_snapshot()
    assert sample("amani_ledger_negative_accounts", kind="seller_payable") == 1
    assert sample("amani_ledger_negative_accounts", kind="escrow_held") == 0
    assert open_stops() == {"negative": "1 accounts, among them seller_payable:7:NGN"}
    assert sample("amani_ledger_imbalance_minor", currency="NGN") == 0


def test_what_is_put_right_is_forgotten_and_the_stop_stays() -> None:
    posted()
    account = account_of("escrow_held")
    as_owner(ADDED.format(1, account.pk))
    take_snapshot()
    as_owner(ADDED.format(-1, account.pk))
    take_snapshot()
    assert not LedgerFinding.objects.exists()
    assert sample("amani_ledger_balance_drift_accounts", currency="NGN") == 0
    assert sample("amani_escrow_money_stopped", cause="drift") == 1
    assert list(open_stops()) == ["drift"]


def test_every_balance_has_its_turn_also_if_no_posting_touches_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drift, "BALANCES_AT_ONCE", 7)
    monkeypatch.setattr(counting, "RECOUNTED_AT_ONCE", 3)
    posted()
    take_snapshot()
    watch = LedgerWatch.objects.get()
    LedgerWatch.objects.update(checked_id=watch.candidate_id, counted_id=watch.candidate_id)
    account = LedgerAccount.objects.order_by("id").last()
    assert account is not None
    as_owner(ADDED.format(9, account.pk))
    turns = -(-LedgerBalance.objects.count() // 7) + 1
    seen = [check_books() for _ in range(turns)]
    assert any(books and books.wrong.drifted for books in seen)
    assert list(open_stops()) == ["drift"]


def boundary_at_the_newest() -> None:
    """As after the next snapshots, which a transaction that is open, as a test's is, can delay."""
    newest = LedgerEntry.objects.order_by("-id").values_list("id", flat=True)[0]
    LedgerWatch.objects.update(candidate_id=newest, candidate_xid=0)


CONSISTENTLY = (
    "UPDATE ledger_entry SET amount_minor = amount_minor + sign * 10,"
    " balance_after_minor = balance_after_minor + sign * 10"
    " FROM (VALUES ({0}, 1), ({1}, -1)) changed (account, sign) WHERE account_id = account;"
    " UPDATE ledger_balance SET posted_minor = posted_minor + sign * 10"
    " FROM (VALUES ({0}, 1), ({1}, -1)) changed (account, sign) WHERE account_id = account AND version > 0"
)


def test_entries_that_are_changed_without_a_trace_are_noticed_by_the_recount() -> None:
    fund(1, 1_000)
    take_snapshot()
    boundary_at_the_newest()
    take_snapshot()
    held, clearing = account_of("escrow_held"), account_of("provider_clearing", "bank")
    as_owner(CONSISTENTLY.format(held.pk, clearing.pk))
    take_snapshot()
    assert sample("amani_ledger_imbalance_minor", currency="NGN") == 0
    assert sample("amani_escrow_funds_held_minor", currency="NGN") == 1_010
    assert sample("amani_ledger_balance_drift_accounts", currency="NGN") == 2
    assert not LedgerFinding.objects.exists()
    assert open_stops() == {
        "drift": "entries of escrow_held changed by NGN 0.10 after they were counted, "
        "entries of provider_clearing changed by NGN -0.10 after they were counted"
    }


def test_a_change_of_old_entries_is_over_when_it_is_undone() -> None:
    fund(1, 1_000)
    take_snapshot()
    boundary_at_the_newest()
    take_snapshot()
    held, clearing = account_of("escrow_held"), account_of("provider_clearing", "bank")
    for first, second in ((held, clearing), (clearing, held)):
        as_owner(CONSISTENTLY.format(first.pk, second.pk))
        take_snapshot()
    assert sample("amani_ledger_balance_drift_accounts", currency="NGN") == 0
    assert sample("amani_escrow_funds_held_minor", currency="NGN") == 1_000


def test_a_long_ledger_is_compared_in_parts_and_counted_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drift, "NEW_AT_ONCE", 4)
    for number in range(6):
        fund(number, 100)
    take_snapshot()
    assert sample("amani_escrow_funds_held_minor", currency="NGN") == 600
    assert LedgerWatch.objects.get().checked_id == 0  # nothing is certain yet
    boundary_at_the_newest()
    first = LedgerEntry.objects.order_by("id").values_list("id", flat=True)[0]
    LedgerWatch.objects.update(checked_id=first - 1)
    compared = []
    for _ in range(3):
        take_snapshot()
        compared.append(LedgerWatch.objects.get().checked_id - first + 1)
    assert compared == [4, 8, 12]
