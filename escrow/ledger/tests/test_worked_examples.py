"""The examples of docs/ledger.md, with the same figures."""

from __future__ import annotations

from pathlib import Path

import pytest

from escrow.ledger import (
    AccountKind,
    TransferKind,
    balance_of,
    clearing,
    held,
    in_transit,
    payable,
    platform_fee,
    post,
    provider_fee,
    refundable,
    reverse,
    suspense,
)
from escrow.ledger.tests.books import legs

pytestmark = pytest.mark.django_db

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "ledger.md"
PAYSTACK = clearing("paystack", "NGN")
HELD = held(1, "NGN")
SELLER = payable(7, "NGN")
IN_TRANSIT = in_transit(7, "NGN")
FEE = platform_fee("NGN")


def fund() -> int:
    pair = legs((PAYSTACK, -102_500), (HELD, 102_500))
    return post(kind=TransferKind.FUNDING, key="funding", legs=pair).transfer_id


def release() -> None:
    three = legs((HELD, -102_500), (SELLER, 100_000), (FEE, 2_500))
    post(kind=TransferKind.RELEASE, key="release", legs=three)


def request_payout() -> int:
    pair = legs((SELLER, -100_000), (IN_TRANSIT, 100_000))
    return post(kind=TransferKind.PAYOUT_REQUESTED, key="payout", legs=pair).transfer_id


def test_funding() -> None:
    fund()
    assert (balance_of(PAYSTACK), balance_of(HELD)) == (-102_500, 102_500)


def test_more_than_was_due() -> None:
    extra = suspense("paystack", "NGN")
    three = legs((PAYSTACK, -103_000), (HELD, 102_500), (extra, 500))
    post(kind=TransferKind.FUNDING, key="funding", legs=three)
    assert (balance_of(PAYSTACK), balance_of(HELD), balance_of(extra)) == (-103_000, 102_500, 500)


def test_what_the_provider_keeps() -> None:
    fund()
    kept = provider_fee("paystack", "NGN")
    post(kind=TransferKind.PROVIDER_FEE, key="funding", legs=legs((PAYSTACK, 1_540), (kept, -1_540)))
    assert (balance_of(PAYSTACK), balance_of(HELD), balance_of(kept)) == (-100_960, 102_500, -1_540)


def test_release() -> None:
    fund()
    release()
    assert (balance_of(HELD), balance_of(SELLER), balance_of(FEE)) == (0, 100_000, 2_500)


def test_a_payout_that_settles() -> None:
    fund()
    release()
    request = request_payout()
    assert (balance_of(SELLER), balance_of(IN_TRANSIT)) == (0, 100_000)
    pair = legs((IN_TRANSIT, -100_000), (PAYSTACK, 100_000))
    post(kind=TransferKind.PAYOUT_SETTLED, key="settled", legs=pair, resolves_id=request)
    assert (balance_of(IN_TRANSIT), balance_of(PAYSTACK), balance_of(FEE)) == (0, -2_500, 2_500)


def test_a_payout_that_the_provider_refuses() -> None:
    fund()
    release()
    request = request_payout()
    pair = legs((IN_TRANSIT, -100_000), (SELLER, 100_000))
    post(kind=TransferKind.PAYOUT_FAILED, key="failed", legs=pair, resolves_id=request)
    assert (balance_of(IN_TRANSIT), balance_of(SELLER)) == (0, 100_000)


def test_refund() -> None:
    fund()
    buyer = refundable(3, "NGN")
    post(kind=TransferKind.REFUND, key="refund", legs=legs((HELD, -102_500), (buyer, 102_500)))
    assert (balance_of(HELD), balance_of(buyer)) == (0, 102_500)


def test_reversal() -> None:
    reverse(transfer_id=fund(), key="mistake", reason="Booked on the wrong escrow.")
    assert (balance_of(PAYSTACK), balance_of(HELD)) == (0, 0)


@pytest.mark.parametrize("currency", ["JPY", "KWD"])
def test_other_currencies(currency: str) -> None:
    pair = legs((clearing("paystack", currency), -1_000), (held(1, currency), 1_000))
    post(kind=TransferKind.FUNDING, key="funding", legs=pair)
    assert balance_of(held(1, currency)) == 1_000


def test_the_document_names_each_kind_of_account_and_each_constraint() -> None:
    from escrow.ledger.errors import ERRORS

    text = DOCUMENT.read_text()
    assert [kind for kind in AccountKind if f"`{kind.value}`" not in text] == []
    # Unique by how they are made, so they are no rule of their own.
    unsaid = {"an_account_has_one_currency", "a_transfer_has_two_entries", "ledger_balance_pkey"}
    unsaid |= {"an_account_is_of_a_kind_in_the_chart"}
    assert [name for name in ERRORS if name not in text and name not in unsaid] == []
