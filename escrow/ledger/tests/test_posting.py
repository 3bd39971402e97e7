"""What the posting function posts, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from django.db import DataError, transaction

from core.errors import AmaniError
from escrow import ledger
from escrow.ledger import (
    Account,
    AccountKind,
    TransferKind,
    balance_of,
    clearing,
    held,
    in_transit,
    payable,
    platform_fee,
    post,
    reverse,
)
from escrow.ledger.tests.books import books, end, fund, hold, legs, owe
from escrow.models import LedgerAccount, LedgerAccountKind, LedgerBalance, LedgerEntry, LedgerTransfer
from escrow.models.chart import CHART

pytestmark = pytest.mark.django_db


def refused(error: type[Exception], attempt: Callable[[], object]) -> None:
    """Asserts that it is refused and that nothing moved."""
    before = books()
    with pytest.raises(error), transaction.atomic():
        attempt()
    assert books() == before


def test_a_transfer_moves_money_between_its_accounts() -> None:
    posted = fund(escrow_id=1, amount_minor=1_000)
    assert not posted.was_known
    assert balance_of(held(1, "NGN")) == 1_000
    assert balance_of(clearing("bank", "NGN")) == -1_000


def test_an_entry_explains_its_balance() -> None:
    fund(1, 1_000)
    fund(1, 250)
    entries = list(LedgerEntry.objects.filter(account__kind="escrow_held").order_by("version"))
    assert [(row.version, row.balance_before_minor, row.balance_after_minor) for row in entries] == [
        (1, 0, 1_000),
        (2, 1_000, 1_250),
    ]


def test_when_it_happened_stands_beside_when_it_was_posted() -> None:
    happened = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    pair = legs((clearing("bank", "NGN"), -5), (held(1, "NGN"), 5))
    posted = post(kind=TransferKind.FUNDING, key="late", legs=pair, event_at=happened)
    transfer = LedgerTransfer.objects.get(pk=posted.transfer_id)
    assert transfer.event_at == happened
    assert transfer.created_at > happened
    assert transfer.public_id == posted.public_id


def test_a_repeated_key_posts_once_and_answers_the_same() -> None:
    first = fund(key="k")
    after_first = books()
    again = fund(key="k")
    assert again == first._replace(was_known=True)
    assert books() == after_first


def test_a_repeated_key_with_another_request_is_refused() -> None:
    fund(1, 1_000, key="k")
    refused(ledger.KeyReused, lambda: fund(1, 1_001, key="k"))
    refused(ledger.KeyReused, lambda: fund(2, 1_000, key="k"))
    refused(ledger.KeyReused, lambda: fund(1, 1_000, "KES", key="k"))


def test_a_key_belongs_to_a_kind() -> None:
    fund(7, 1_000, key="k")
    owe()
    assert not hold(key="k").was_known


def test_the_same_money_for_another_escrow_is_another_request() -> None:
    pair = legs((clearing("bank", "NGN"), -5), (held(1, "NGN"), 5))
    post(kind=TransferKind.FUNDING, key="k", legs=pair, escrow_id=1)
    refused(ledger.KeyReused, lambda: post(kind=TransferKind.FUNDING, key="k", legs=pair, escrow_id=2))


@pytest.mark.parametrize(
    "account", [held(1, "NGN"), payable(7, "NGN"), ledger.refundable(7, "NGN"), in_transit(7, "NGN")]
)
def test_no_customer_account_goes_below_zero(account: Account) -> None:
    pair = legs((account, 99), (clearing("bank", "NGN"), -99))
    post(kind=TransferKind.CORRECTION, key="in", legs=pair)
    out = legs((account, -100), (clearing("bank", "NGN"), 100))
    refused(ledger.InsufficientFunds, lambda: post(kind=TransferKind.CORRECTION, key="out", legs=out))
    assert balance_of(account) == 99


def test_a_house_account_may_be_negative() -> None:
    post(
        kind=TransferKind.CORRECTION,
        key="c",
        legs=legs((platform_fee("NGN"), -10), (clearing("bank", "NGN"), 10)),
    )
    assert balance_of(platform_fee("NGN")) == -10


WRONG = {
    "unbalanced": legs((clearing("bank", "NGN"), -5), (held(1, "NGN"), 6)),
    "one leg": legs((held(1, "NGN"), 6)),
    "no leg": [],
    "zero": legs((clearing("bank", "NGN"), 0), (held(1, "NGN"), 0)),
    "balanced over two currencies": legs((clearing("bank", "NGN"), -5), (held(1, "KES"), 5)),
    "an account twice": legs((clearing("bank", "NGN"), -5), (held(1, "NGN"), 3), (held(1, "NGN"), 2)),
    "too much": legs((clearing("bank", "NGN"), -(10**15) - 1), (held(1, "NGN"), 10**15 + 1)),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_transfer_that_is_none_is_refused(name: str) -> None:
    refused(ledger.WrongTransfer, lambda: post(kind=TransferKind.CORRECTION, key="w", legs=WRONG[name]))


def test_a_kind_of_account_that_the_chart_does_not_have_is_refused() -> None:
    LedgerAccountKind.objects.filter(kind=AccountKind.CHARGEBACK_LOSS).delete()
    pair = legs((clearing("bank", "NGN"), -5), (ledger.chargeback_loss("NGN"), 5))
    refused(ledger.WrongTransfer, lambda: post(kind=TransferKind.CORRECTION, key="w", legs=pair))


def test_an_amount_that_no_bigint_holds_is_refused() -> None:
    refused(DataError, lambda: fund(1, 2**63))


def test_one_transfer_may_have_legs_of_two_currencies_that_are_each_balanced() -> None:
    pairs = legs(
        (clearing("bank", "NGN"), -5), (held(1, "NGN"), 5), (clearing("bank", "JPY"), -7), (held(1, "JPY"), 7)
    )
    post(kind=TransferKind.CORRECTION, key="two", legs=pairs)
    assert (balance_of(held(1, "NGN")), balance_of(held(1, "JPY"))) == (5, 7)


def test_the_order_of_the_legs_is_kept_in_the_entries() -> None:
    three = legs((held(1, "NGN"), -9), (platform_fee("NGN"), 2), (payable(7, "NGN"), 7))
    fund(1, 9)
    posted = post(kind=TransferKind.RELEASE, key="r", legs=three)
    entries = LedgerEntry.objects.filter(transfer_id=posted.transfer_id).order_by("position")
    assert [row.amount_minor for row in entries] == [-9, 2, 7]


def test_a_reversal_has_the_opposite_of_the_stored_entries() -> None:
    posted = fund(1, 1_000)
    back = reverse(transfer_id=posted.transfer_id, key="back", reason="Paid by mistake.")
    assert balance_of(held(1, "NGN")) == 0
    assert balance_of(clearing("bank", "NGN")) == 0
    transfer = LedgerTransfer.objects.get(pk=back.transfer_id)
    assert (transfer.kind, transfer.reverses_id, transfer.reason) == (
        "reversal",
        posted.transfer_id,
        "Paid by mistake.",
    )
    assert reverse(transfer_id=posted.transfer_id, key="back", reason="again").was_known


def test_a_transfer_is_reversed_once() -> None:
    posted = fund(1, 1_000)
    fund(1, 5_000)
    reverse(transfer_id=posted.transfer_id, key="one", reason="x")
    refused(ledger.AlreadyReversed, lambda: reverse(transfer_id=posted.transfer_id, key="two", reason="x"))


def test_a_reversal_is_final_and_an_unknown_transfer_has_none() -> None:
    posted = fund()
    back = reverse(transfer_id=posted.transfer_id, key="one", reason="x")
    refused(ledger.CannotReverse, lambda: reverse(transfer_id=back.transfer_id, key="two", reason="x"))
    refused(ledger.CannotReverse, lambda: reverse(transfer_id=0, key="three", reason="x"))


def test_what_was_spent_cannot_be_reversed() -> None:
    posted = owe(7, 400)
    hold(7, 400)
    refused(ledger.InsufficientFunds, lambda: reverse(transfer_id=posted.transfer_id, key="b", reason="x"))


ENDS = [TransferKind.PAYOUT_SETTLED, TransferKind.PAYOUT_FAILED]


@pytest.mark.parametrize("first", ENDS)
@pytest.mark.parametrize("second", ENDS)
def test_a_hold_is_resolved_once(first: TransferKind, second: TransferKind) -> None:
    owe(7, 1_000)
    held_back = hold(7, 400)
    hold(7, 400)  # its money must not pay for the second resolution
    end(first, held_back.transfer_id)
    refused(ledger.AlreadyResolved, lambda: end(second, held_back.transfer_id))
    refused(
        ledger.AlreadyResolved,
        lambda: reverse(transfer_id=held_back.transfer_id, key="b", reason="x"),
    )


def test_a_hold_that_was_reversed_is_resolved() -> None:
    owe(7, 1_000)
    held_back = hold(7, 400)
    hold(7, 400)
    reverse(transfer_id=held_back.transfer_id, key="b", reason="x")
    assert balance_of(in_transit(7, "NGN")) == 400
    refused(ledger.AlreadyResolved, lambda: end(TransferKind.PAYOUT_SETTLED, held_back.transfer_id))


def test_a_hold_is_resolved_by_what_it_had_put_in_transit() -> None:
    owe(7, 1_000)
    hold(7, 400)
    held_back = hold(7, 300)
    refused(ledger.WrongTransfer, lambda: end(TransferKind.PAYOUT_SETTLED, held_back.transfer_id, 299))
    no_hold = fund()
    refused(ledger.WrongTransfer, lambda: end(TransferKind.PAYOUT_SETTLED, no_hold.transfer_id, 400))


def test_the_chart_in_the_database_is_the_chart_in_the_code() -> None:
    rows = LedgerAccountKind.objects.values_list("kind", "is_house", "floor_minor", "shards")
    assert {kind: rule for kind, *rule in rows} == {kind.value: list(rule) for kind, rule in CHART.items()}
    assert set(CHART) == set(AccountKind)


def test_a_house_account_is_spread_over_shards_and_a_customers_is_one_row() -> None:
    fund(1)
    shards = {
        account.kind_id: LedgerBalance.objects.filter(account=account).count()
        for account in LedgerAccount.objects.all()
    }
    assert shards == {"escrow_held": 1, "provider_clearing": 16}


def test_a_statement_goes_from_the_newest_entry_to_the_oldest_in_pages() -> None:
    for amount in range(1, 8):
        fund(1, amount)
    account = ledger.account_row(held(1, "NGN"))
    assert account is not None
    seen: list[int] = []
    last = None
    while page := list(ledger.entries_of(account.pk, before=last)[:3]):
        seen += [entry.amount_minor for entry in page]
        last = page[-1].pk
    assert seen == [7, 6, 5, 4, 3, 2, 1]
    assert ledger.account_row(held(2, "NGN")) is None


def test_the_balances_of_a_user_are_one_query(django_assert_num_queries: Callable) -> None:  # type: ignore[type-arg]
    owe(7, 1_000)
    hold(7, 400)
    with django_assert_num_queries(1):
        found = ledger.balances_of(7)
    assert found == {in_transit(7, "NGN"): 400, payable(7, "NGN"): 600}


def test_every_refusal_is_a_sentence_with_a_code_and_its_constraint_is_in_the_database() -> None:
    for make in ledger.errors.ERRORS.values():
        error = make()
        assert isinstance(error, AmaniError)
        assert str(error).endswith(".")


def test_versions_of_a_balance_have_no_gap_and_each_begins_where_the_last_ended() -> None:
    for amount in (5, 3, 8):
        fund(1, amount)
    entries = list(LedgerEntry.objects.filter(account__kind="escrow_held").order_by("version"))
    for before, after in pairwise(entries):
        assert after.version == before.version + 1
        assert after.balance_before_minor == before.balance_after_minor


def test_a_failed_posting_leaves_no_trace_of_its_key() -> None:
    refused(ledger.InsufficientFunds, lambda: hold(7, 400, key="k"))
    owe(7, 400)
    assert not hold(7, 400, key="k").was_known
