"""The pages of transfers and of accounts: what they say, how they lead to each other, how much they read."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from core.request_id import request_id
from core.tests.plans import rows_read, statements_of
from escrow.admin.tests.operators import said, signed_in, words
from escrow.ledger import TransferKind, clearing, held, payable, platform_fee, post, reverse
from escrow.ledger.tests.books import end, fund, hold, legs, owe
from escrow.models import LedgerAccount, LedgerTransfer
from escrow.templatetags.escrow_console import MINUS
from kyc.tests.people import make_person

pytestmark = pytest.mark.django_db

TRANSFERS, ACCOUNTS = "/admin/escrow/ledgertransfer/", "/admin/escrow/ledgeraccount/"


def page_of_transfer(transfer_id: int) -> str:
    return f"{TRANSFERS}{transfer_id}/change/"


def page_of_account(kind: str, owner: str = "") -> str:
    return f"{ACCOUNTS}{LedgerAccount.objects.get(kind=kind, owner=owner).pk}/change/"


def release(escrow_id: int = 1, seller_id: int = 7) -> int:
    pairs = legs(
        (held(escrow_id, "NGN"), -102_500),
        (payable(seller_id, "NGN"), 100_000),
        (platform_fee("NGN"), 2_500),
    )
    posted = post(kind=TransferKind.RELEASE, key="release", legs=pairs, escrow_id=escrow_id, reason="Done.")
    return posted.transfer_id


@pytest.fixture
def finance() -> Client:
    return signed_in("finance")


# --- Transfers ---


def test_the_list_says_what_moved_from_where_to_where(finance: Client) -> None:
    fund(amount_minor=102_500)
    release()
    text = words(finance, TRANSFERS)
    assert "Release NGN 1,025 held for escrow 1 → owed to seller 7, fees earned escrow 1 Amani" in text
    assert "Funding NGN 1,025 at bank → held for escrow 1 — Amani" in text
    assert text.index("Release NGN") < text.index("Funding NGN")


def test_a_transfers_page_has_its_entries_with_the_balances_around_them(finance: Client) -> None:
    fund(amount_minor=102_500)
    request_id.set("the-request-of-this-release")
    text = words(finance, page_of_transfer(release()))
    for row in (
        f"Held for escrow 1 {MINUS}NGN 1,025 NGN 1,025 NGN 0",
        "Owed to seller 7 +NGN 1,000 NGN 0 NGN 1,000",
        "+NGN 25 NGN 0 NGN 25",
        "Asked by Amani",
        "the-request-of-this-release",
        "Done.",
    ):
        assert row in text


def test_a_reversal_and_the_end_of_a_payout_lead_to_the_other_transfer_and_back(finance: Client) -> None:
    funding = fund(amount_minor=1_000).transfer_id
    reversal = reverse(transfer_id=funding, key="r", reason="By mistake.").transfer_id
    owe()
    begin = hold().transfer_id
    assert "has not ended yet" in words(finance, page_of_transfer(begin))
    ended = end(TransferKind.PAYOUT_SETTLED, begin).transfer_id
    for one, other in ((funding, reversal), (begin, ended)):
        for shown, linked in ((one, other), (other, one)):
            assert page_of_transfer(linked) in finance.get(page_of_transfer(shown)).content.decode()


def test_a_transfer_leads_to_its_accounts_and_their_statements_lead_back(finance: Client) -> None:
    fund(amount_minor=102_500)
    transfer = page_of_transfer(release())
    account = page_of_account("seller_payable", "7")
    assert account in finance.get(transfer).content.decode()
    assert transfer in finance.get(account).content.decode()


def test_who_asked_is_named_on_the_page_and_not_in_the_list(finance: Client) -> None:
    person = make_person("adaeze")
    pair = legs((clearing("bank", "NGN"), -5), (held(1, "NGN"), 5))
    posted = post(kind=TransferKind.FUNDING, key="k", legs=pair, actor_id=person.pk)
    assert f"user {person.pk}" in words(finance, TRANSFERS)
    assert "Adaeze" not in words(finance, TRANSFERS)
    assert f"Asked by Adaeze user {person.pk}" in words(finance, page_of_transfer(posted.transfer_id))


def test_the_page_leads_to_the_traces_of_the_request(finance: Client, settings: Any) -> None:
    settings.TRACING_ENABLED, settings.JAEGER_URL = True, "https://traces.example"
    request_id.set("request-0001")
    page = finance.get(page_of_transfer(fund().transfer_id)).content.decode()
    assert "https://traces.example/search?service=" in page
    assert "%22amani.request_id%22%3A%22request-0001%22" in page


def test_filters_and_the_search_find_transfers(finance: Client) -> None:
    fund(amount_minor=102_500, key="collection:1")
    released = LedgerTransfer.objects.get(pk=release())
    for query in ("kind__exact=release", "escrow_id=1"):
        assert list(finance.get(f"{TRANSFERS}?{query}").context["cl"].result_list) == [released]
    for term in (str(released.pk), str(released.public_id), " release "):
        answer = finance.post(f"{TRANSFERS}find/", {"term": term})
        assert (answer.status_code, answer.headers["Location"]) == (303, page_of_transfer(released.pk))


@pytest.mark.parametrize("term", ["999999", "9" * 90, "no such key", "%", "a\0b"])
@pytest.mark.parametrize("pages", [TRANSFERS, ACCOUNTS])
def test_a_search_that_finds_nothing_says_so(finance: Client, pages: str, term: str) -> None:
    fund()
    answer = finance.post(f"{pages}find/", {"term": term})
    assert (answer.status_code, answer.headers["Location"]) == (303, pages)
    assert said(answer)[0].startswith("No ")


# --- Accounts ---


def test_the_list_of_accounts_has_balances_and_of_the_house_their_sum(finance: Client) -> None:
    fund(amount_minor=102_500)
    release()
    text = words(finance, ACCOUNTS)
    assert "Held for escrow 1 account" in text
    assert "customer NGN 1,000" in text
    assert "house NGN -1,025" in text


def test_the_balance_of_a_house_account_is_the_sum_of_its_shards(finance: Client) -> None:
    fund(amount_minor=1_000)
    with connection.cursor() as cursor:  # as if another session had written its part
        cursor.execute(
            "UPDATE ledger_balance SET posted_minor = -500, version = 1 WHERE (account_id, shard) ="
            " (SELECT account_id, (shard + 1) % 16 FROM ledger_balance WHERE posted_minor = -1000)"
        )
    text = words(finance, page_of_account("provider_clearing", "bank"))
    assert f"House At bank NGN {MINUS}15" in text
    assert "Entries 2" in text
    assert "house NGN -15" in words(finance, ACCOUNTS)


def test_a_statement_is_read_in_pages_of_which_the_older_are_behind_a_link(finance: Client) -> None:
    for number in range(51):
        fund(amount_minor=100 + number)
    page = page_of_account("escrow_held", "1")
    first = finance.get(page)
    older = first.context["older"]
    assert [len(first.context["entries"]), f"?before={older}" in first.content.decode()] == [50, True]
    last = finance.get(f"{page}?before={older}")
    assert [entry.amount_minor for entry in last.context["entries"]] == [100]
    assert last.context["older"] is None
    assert finance.get(f"{page}?before=nonsense").context["entries"] == first.context["entries"]


def test_accounts_are_found_by_owner_by_address_and_by_provider(finance: Client) -> None:
    person = make_person("adaeze")
    fund(escrow_id=person.pk)
    owe(user_id=person.pk)
    found = {
        str(person.pk): {"seller_payable", "escrow_held"},
        "adaeze@": {"seller_payable"},
    }
    for term, kinds in found.items():
        address = finance.post(f"{ACCOUNTS}find/", {"term": term}).headers["Location"]
        assert "adaeze" not in address
        assert {row.kind_id for row in finance.get(address).context["cl"].result_list} == kinds
    text = words(finance, page_of_account("seller_payable", str(person.pk)))
    assert "Adaeze adaeze@example.com" in text


def test_accounts_are_filtered_by_kind_and_currency(finance: Client) -> None:
    fund(escrow_id=1)
    fund(escrow_id=2, currency="XAF")
    rows = finance.get(f"{ACCOUNTS}?kind=escrow_held&currency=XAF").context["cl"].result_list
    assert [(row.kind_id, row.owner) for row in rows] == [("escrow_held", "2")]


# --- Roles, and how much is read ---


@pytest.mark.parametrize("role", ["viewer", "responder", "kyc reviewer"])
def test_other_roles_see_neither_transfers_nor_accounts(role: str) -> None:
    transfer = fund().transfer_id
    client = signed_in(role)
    pages = [TRANSFERS, page_of_transfer(transfer), ACCOUNTS, page_of_account("escrow_held", "1")]
    assert {client.get(page).status_code for page in pages} == {HTTPStatus.FORBIDDEN}


def test_not_even_a_superuser_changes_the_ledger(admin_client: Client) -> None:
    page = page_of_transfer(fund().transfer_id)
    assert admin_client.post(page, {"kind": "refund"}).status_code == HTTPStatus.METHOD_NOT_ALLOWED
    assert admin_client.get(f"{TRANSFERS}add/").status_code == HTTPStatus.FORBIDDEN
    account = page_of_account("escrow_held", "1")
    assert admin_client.post(account, {"owner": "2"}).status_code == HTTPStatus.METHOD_NOT_ALLOWED
    assert admin_client.post(account.replace("change", "delete")).status_code == HTTPStatus.FORBIDDEN


def test_pages_take_the_same_queries_for_one_row_and_for_fifty(finance: Client) -> None:
    transfer = page_of_transfer(fund(escrow_id=1).transfer_id)
    account = page_of_account("escrow_held", "1")
    pages = (TRANSFERS, ACCOUNTS, transfer, account)
    few = [len(statements_of(finance, page)) for page in pages]
    for number in range(1, 51):
        fund(escrow_id=1)
        fund(escrow_id=number)
    assert [len(statements_of(finance, page)) for page in pages] == few


# What some years leave behind: each escrow has an account, and all transfers one account of the house.
FILL = """
ALTER TABLE ledger_entry DISABLE TRIGGER USER;
INSERT INTO ledger_account (kind, owner, currency, is_house, shards)
SELECT 'escrow_held', 'many-' || n, 'NGN', false, 1 FROM generate_series(1, 30000) n;
WITH transfer AS (
    INSERT INTO ledger_transfer
        (kind, key, request_hash, entry_count, escrow_id, reason, request_id, event_at)
    SELECT 'funding', 'many-' || n, '', 2, 1000 + n, '', '', now() FROM generate_series(1, 30000) n
    RETURNING id
)
INSERT INTO ledger_entry (transfer_id, position, account_id, shard, currency, amount_minor, version,
    balance_before_minor, balance_after_minor)
SELECT transfer.id, 1, account.id, 0, 'NGN', -1, 100 + row_number() OVER (), 1, 0
FROM transfer, ledger_account account WHERE account.kind = 'provider_clearing';
ANALYZE ledger_account, ledger_transfer, ledger_entry;
"""
MOST_ROWS_READ = 25_000  # counting stops at 10,000 rows


def test_pages_over_30_000_transfers_read_few_rows_by_an_index(finance: Client) -> None:
    fund(escrow_id=1)
    transfer = LedgerTransfer.objects.get()
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(FILL)
    for page in (
        TRANSFERS,
        f"{TRANSFERS}?kind__exact=funding",
        f"{TRANSFERS}?kind__exact=correction",
        f"{TRANSFERS}?escrow_id=4711",
        page_of_transfer(transfer.pk),
        ACCOUNTS,
        f"{ACCOUNTS}?kind=provider_clearing",
        f"{ACCOUNTS}?kind=seller_payable",
        f"{ACCOUNTS}?owner__in=many-4711",
        page_of_account("provider_clearing", "bank"),
    ):
        for statement in statements_of(finance, page):
            read, plan = rows_read(statement)
            assert read <= MOST_ROWS_READ, (page, read, statement, plan)
