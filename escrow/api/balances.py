"""Serves /api/v1/balances: what Amani owes the user, and the statement of each of their accounts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from itertools import groupby
from typing import Annotated
from urllib.parse import urlencode
from uuid import UUID

from django.http import HttpRequest, StreamingHttpResponse
from ninja import Path, Query, Router
from pydantic import Field

from accounts.api import person_of
from core.api.cursors import cursor_of, next_cursor, read_cursor
from core.api.tables import csv_response
from core.money import exponent_of
from escrow import ledger
from escrow.api import statements
from escrow.api.schemas import CURRENCY, Cursor, Limit, Money, Strict, money
from escrow.api.statements import Names
from escrow.ledger import Account, AccountKind, TransferKind
from escrow.models import LedgerEntry

router = Router()

MOST_CSV_ROWS = 20_000  # of one download, so that none occupies a thread for long
CURSORS = "statement"
COLUMNS = (
    "number",
    "happened_at",
    "posted_at",
    "kind",
    "amount",
    "balance",
    "amount_minor",
    "balance_minor",
    "currency",
    "escrow",
    "title",
    "milestone",
    "transfer",
)
Currency = Annotated[str, Path(pattern=CURRENCY, description="ISO 4217.", examples=["NGN"])]


class OwnAccount(StrEnum):
    PAYABLE = "payable"
    REFUNDABLE = "refundable"
    IN_TRANSIT = "in_transit"


ACCOUNTS = {
    OwnAccount.PAYABLE: ledger.payable,
    OwnAccount.REFUNDABLE: ledger.refundable,
    OwnAccount.IN_TRANSIT: ledger.in_transit,
}
Chosen = Annotated[
    OwnAccount,
    Query(
        description="`payable`: earned as a seller. `refundable`: came back to you as a buyer. "
        "`in_transit`: being paid out to you."
    ),
]


class BalanceShown(Strict):
    currency: str = Field(pattern=CURRENCY, examples=["NGN"])
    available: Money = Field(description="What you can have paid out: payable and refundable.")
    payable: Money = Field(description="Earned as a seller.")
    refundable: Money = Field(description="Came back to you as a buyer.")
    in_transit: Money = Field(description="Being paid out to you; it comes back if that fails.")


class Balances(Strict):
    items: list[BalanceShown] = Field(description="One for each currency that you have used.")


class EntryShown(Strict):
    """One change of the account."""

    number: int = Field(description="Counts the entries of the account, from 1.")
    kind: TransferKind
    amount: Money = Field(description="Negative: it left the account.")
    balance: Money = Field(description="Of the account, after this entry.")
    happened_at: datetime = Field(description="When it happened, for example at the bank.")
    posted_at: datetime
    escrow: UUID | None
    milestone: UUID | None
    transfer: UUID = Field(description="The same for both sides. Include it when you ask for help.")


class Statement(Strict):
    account: OwnAccount
    balance: Money = Field(description="Now.")
    items: list[EntryShown] = Field(description="The newest first.")
    next: str | None = Field(description="The `cursor` of the next page; null on the last.")


def balance_shown(currency: str, found: dict[AccountKind, int]) -> BalanceShown:
    payable = found.get(AccountKind.SELLER_PAYABLE, 0)
    refundable = found.get(AccountKind.BUYER_REFUNDABLE, 0)
    return BalanceShown(
        currency=currency,
        available=money(payable + refundable, currency),
        payable=money(payable, currency),
        refundable=money(refundable, currency),
        in_transit=money(found.get(AccountKind.PAYOUT_IN_TRANSIT, 0), currency),
    )


def entries_shown(entries: Sequence[LedgerEntry]) -> list[EntryShown]:
    """Returns the entries with the escrows and milestones that they are about. Two queries."""
    names = statements.names_of(entries)
    return [entry_shown(entry, names) for entry in entries]


def entry_shown(entry: LedgerEntry, names: Names) -> EntryShown:
    return EntryShown(
        number=entry.version,
        kind=TransferKind(entry.transfer.kind),
        amount=money(entry.amount_minor, entry.currency),
        balance=money(entry.balance_after_minor, entry.currency),
        happened_at=entry.transfer.event_at,
        posted_at=entry.transfer.created_at,
        escrow=names.escrows.get(entry.transfer.escrow_id),
        milestone=names.milestones.get(entry.transfer.milestone_id),
        transfer=entry.transfer.public_id,
    )


def account_of(request: HttpRequest, account: OwnAccount, currency: str) -> Account:
    return ACCOUNTS[account](person_of(request).pk, currency)


@router.get("", response=Balances, operation_id="list_balances", summary="What you can have paid out")
def list_balances(request: HttpRequest) -> Balances:
    found = ledger.balances_of(person_of(request).pk).items()
    by_currency = groupby(found, key=lambda item: item[0].currency)
    return Balances(
        items=[
            balance_shown(currency, {account.kind: amount for account, amount in group})
            for currency, group in by_currency
        ]
    )


@router.get(
    "/{currency}/statement",
    response=Statement,
    operation_id="show_statement",
    summary="The entries of one of your accounts, the newest first",
)
def show_statement(
    request: HttpRequest,
    currency: Currency,
    account: Chosen = OwnAccount.PAYABLE,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Statement:
    own = account_of(request, account, currency)
    before = read_cursor(CURSORS, cursor, int)
    found = statements.entries_of(own, before=before, limit=limit + 1)
    return Statement(
        account=account,
        balance=money(ledger.balance_of(own), currency),
        items=entries_shown(found[:limit]),
        next=next_cursor(CURSORS, found, limit, lambda entry: entry.version),
    )


@router.get(
    "/{currency}/statement.csv",
    operation_id="download_statement",
    summary="The same as CSV",
    description=f"The newest {MOST_CSV_ROWS:,} entries, or those behind `cursor`. If there are more, the "
    'header `Link` has the address of the next part (`rel="next"`).',
    openapi_extra={
        "responses": {
            200: {
                "description": "OK",
                "content": {"text/csv": {"schema": {"type": "string"}}},
                "headers": {"Link": {"schema": {"type": "string"}}},
            }
        }
    },
)
def download_statement(
    request: HttpRequest,
    currency: Currency,
    account: Chosen = OwnAccount.PAYABLE,
    cursor: Cursor = None,
) -> StreamingHttpResponse:
    own = account_of(request, account, currency)
    before = read_cursor(CURSORS, cursor, int)
    response = csv_response(f"amani-{currency}-{account}.csv", COLUMNS, csv_rows(own, before))
    newest = statements.entries_of(own, before=before, limit=1)
    if newest and newest[0].version > MOST_CSV_ROWS:
        position = cursor_of(CURSORS, newest[0].version - MOST_CSV_ROWS + 1)
        query = urlencode({"account": account.value, "cursor": position})
        response["Link"] = f'<{request.path}?{query}>; rel="next"'
    return response


def csv_rows(account: Account, before: int | None) -> Iterator[tuple[object, ...]]:
    for page in statements.every_entry(account, before=before, most=MOST_CSV_ROWS):
        names = statements.names_of(page)
        for entry in page:
            yield csv_row(entry, names)


def csv_row(entry: LedgerEntry, names: Names) -> tuple[object, ...]:
    transfer, currency = entry.transfer, entry.currency
    return (
        entry.version,
        transfer.event_at.isoformat(),
        transfer.created_at.isoformat(),
        transfer.kind,
        in_main_unit(entry.amount_minor, currency),
        in_main_unit(entry.balance_after_minor, currency),
        entry.amount_minor,
        entry.balance_after_minor,
        currency,
        names.escrows.get(transfer.escrow_id),
        names.titles.get(transfer.escrow_id),
        names.milestones.get(transfer.milestone_id),
        transfer.public_id,
    )


def in_main_unit(amount_minor: int, currency: str) -> str:
    """Returns `-1250.50`, which a spreadsheet reads as a number."""
    return f"{Decimal(amount_minor).scaleb(-exponent_of(currency)):f}"
