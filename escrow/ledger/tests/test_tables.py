"""What the tables of the ledger refuse, also to their owner and without the posting function."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, connection, transaction

from escrow.ledger.tests.books import books, fund
from escrow.models import LedgerAccount, LedgerBalance, LedgerEntry, LedgerTransfer

pytestmark = pytest.mark.django_db

TABLES = ("ledger_account", "ledger_balance", "ledger_transfer", "ledger_entry")
BY_HAND = (
    "INSERT INTO ledger_transfer (kind, key, request_hash, entry_count, reason, request_id, event_at)"
    " VALUES ('correction', 'by hand', '', {count}, '', '', now());"
)
ENTRY = (
    "INSERT INTO ledger_entry (transfer_id, position, account_id, shard, currency, amount_minor, version,"
    " balance_before_minor, balance_after_minor) VALUES {rows}"
)


def run(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)


def refused(sql: str, words: str) -> None:
    before = books()
    with pytest.raises(DatabaseError, match=words), transaction.atomic():
        run(sql)
    assert books() == before


def entries(*rows: tuple[int, LedgerBalance, int, int], transfer_id: int) -> str:
    """Returns the INSERT of rows (position, balance, amount, version)."""
    values = (
        f"({transfer_id}, {position}, {balance.account_id}, {balance.shard}, '{balance.currency}', {amount},"
        f" {version}, {balance.posted_minor - amount}, {balance.posted_minor})"
        for position, balance, amount, version in rows
    )
    return ENTRY.format(rows=", ".join(values))


def used_balances() -> tuple[LedgerBalance, LedgerBalance]:
    """Returns the balances of an escrow and of the bank, after one funding."""
    fund(1, 1_000)
    balances = LedgerBalance.objects.filter(version=1)
    return balances.get(account__kind="escrow_held"), balances.get(account__kind="provider_clearing")


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE ledger_transfer SET reason = 'x'",
        "DELETE FROM ledger_transfer",
        "UPDATE ledger_entry SET amount_minor = 5",
        "UPDATE ledger_entry SET amount_minor = amount_minor",
        "DELETE FROM ledger_entry",
        "UPDATE ledger_account SET currency = 'KES'",
        "DELETE FROM ledger_account",
        "DELETE FROM ledger_balance",
        "UPDATE ledger_balance SET posted_minor = posted_minor + 1",
        "UPDATE ledger_balance SET version = version + 1, floor_minor = -5",
        "UPDATE ledger_balance SET version = version + 1, currency = 'KES'",
        "UPDATE ledger_balance SET version = version + 2",
    ],
)
def test_what_is_posted_cannot_be_changed(change: str) -> None:
    fund()
    refused(change, "Cannot|violates foreign key")


@pytest.mark.parametrize("table", TABLES)
def test_no_table_can_be_emptied(table: str) -> None:
    fund()
    run("SET CONSTRAINTS ALL IMMEDIATE")
    refused(f"TRUNCATE {table} CASCADE", "never deleted")


def test_a_balance_cannot_be_taken_below_its_floor() -> None:
    fund(1, 10)
    refused(
        "UPDATE ledger_balance SET version = version + 1, posted_minor = -1 WHERE floor_minor = 0",
        "a_balance_never_goes_below_its_floor",
    )


def test_entries_that_do_not_add_up_are_refused() -> None:
    held, bank = used_balances()
    run(BY_HAND.format(count=2))
    transfer = LedgerTransfer.objects.get(key="by hand")
    wrong = entries((1, held, 5, 2), (2, bank, -4, 2), transfer_id=transfer.pk)
    refused(wrong, "do not add up to zero")


def test_entries_cannot_be_added_to_a_transfer_that_has_its_own() -> None:
    held, bank = used_balances()
    transfer = LedgerTransfer.objects.get()
    again = entries((1, held, 5, 2), (2, bank, -5, 2), transfer_id=transfer.pk)
    refused(again, "an_entry_has_its_place")
    more = entries((3, held, 5, 2), (4, bank, -5, 2), transfer_id=transfer.pk)
    refused(more, "not whole")


def test_entries_that_disagree_with_the_balances_are_refused() -> None:
    held, bank = used_balances()
    run(BY_HAND.format(count=2))
    transfer = LedgerTransfer.objects.get(key="by hand")
    refused(entries((1, held, 5, 2), (2, bank, -5, 2), transfer_id=transfer.pk), "not whole")


def test_a_part_of_the_entries_is_refused() -> None:
    held, bank = used_balances()
    run(BY_HAND.format(count=3))
    transfer = LedgerTransfer.objects.get(key="by hand")
    refused(
        entries((1, held, 5, 1), (2, bank, -5, 1), transfer_id=transfer.pk), "a_balance_has_each|not whole"
    )


def test_an_entry_has_the_currency_of_its_account() -> None:
    held, bank = used_balances()
    run(BY_HAND.format(count=2))
    transfer = LedgerTransfer.objects.get(key="by hand")
    held.currency = bank.currency = "USD"
    refused(
        entries((1, held, 5, 2), (2, bank, -5, 2), transfer_id=transfer.pk),
        "an_entry_has_the_currency_of_its_account",
    )


def test_an_entry_of_nothing_and_one_that_explains_nothing_are_refused() -> None:
    held, bank = used_balances()
    run(BY_HAND.format(count=2))
    transfer = LedgerTransfer.objects.get(key="by hand")
    refused(entries((1, held, 0, 2), (2, bank, 0, 2), transfer_id=transfer.pk), "an_entry_moves_money")
    good = entries((1, held, 5, 2), (2, bank, -5, 2), transfer_id=transfer.pk)
    refused(good.replace(f", {held.posted_minor})", ", 1)"), "an_entry_explains_its_balance")


def test_a_transfer_is_of_a_known_shape() -> None:
    refused(BY_HAND.format(count=1), "a_transfer_has_two_entries")
    refused(BY_HAND.format(count=2).replace("correction", "reversal"), "a_reversal_reverses_a_transfer")


def test_a_temporary_table_of_the_caller_is_not_used_in_place_of_the_ledger() -> None:
    run("CREATE TEMPORARY TABLE ledger_balance (LIKE public.ledger_balance)")
    run("CREATE TEMPORARY TABLE ledger_entry (LIKE public.ledger_entry)")
    fund(1, 1_000)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM public.ledger_entry")
        assert cursor.fetchone() == (2,)
    run("DROP TABLE pg_temp.ledger_balance, pg_temp.ledger_entry")


def test_rows_have_names_that_say_what_they_are() -> None:
    fund()
    assert str(LedgerAccount.objects.earliest("id")) == "escrow_held:1:NGN"
    assert str(LedgerEntry.objects.earliest("id")).startswith("NGN 1000 of transfer")
    assert str(LedgerTransfer.objects.get()).startswith("funding ")
