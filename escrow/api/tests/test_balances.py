"""Balances and statements: what is owed to the user, and nothing of other people."""

from __future__ import annotations

import csv
from io import StringIO
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from core.api.cursors import cursor_of
from escrow.api import balances, statements
from escrow.api.tests.app import API, App
from escrow.ledger.tests.books import hold, owe

pytestmark = pytest.mark.django_db


@pytest.fixture
def app() -> App:
    return App(User.objects.create_user("ada@example.com"))


def ngn(amount_minor: int) -> dict[str, Any]:
    return {"amount_minor": amount_minor, "currency": "NGN"}


def csv_of(app: App, path: str) -> tuple[Any, list[list[str]]]:
    response = app.client.get(path)
    content = b"".join(response.streaming_content)  # type: ignore[attr-defined]  # a stream
    return response, list(csv.reader(StringIO(content.decode())))


def test_who_never_had_money_has_no_balance(app: App) -> None:
    owe(user_id=app.person.pk + 1)
    assert app.get("/balances") == {"items": []}
    empty = app.get("/balances/NGN/statement")
    assert empty == {"account": "payable", "balance": ngn(0), "items": [], "next": None}


def test_a_balance_says_what_is_there_and_what_is_on_its_way(app: App) -> None:
    owe(user_id=app.person.pk, amount_minor=1_000)
    owe(user_id=app.person.pk, amount_minor=7, currency="JPY")
    hold(user_id=app.person.pk, amount_minor=400)
    yen, naira = app.get("/balances")["items"]
    assert naira == {
        "currency": "NGN",
        "available": ngn(600),
        "payable": ngn(600),
        "refundable": ngn(0),
        "in_transit": ngn(400),
    }
    assert (yen["currency"], yen["available"]["amount_minor"]) == ("JPY", 7)


def test_a_statement_explains_the_balance(app: App) -> None:
    first = owe(user_id=app.person.pk, amount_minor=1_000)
    owe(user_id=app.person.pk, amount_minor=7, currency="JPY")
    hold(user_id=app.person.pk, amount_minor=400)
    shown = app.get("/balances/NGN/statement")
    assert (shown["balance"], shown["next"]) == (ngn(600), None)
    kinds = [(one["number"], one["kind"], one["amount"], one["balance"]) for one in shown["items"]]
    assert kinds == [(2, "payout_requested", ngn(-400), ngn(600)), (1, "correction", ngn(1_000), ngn(1_000))]
    assert shown["items"][1]["transfer"] == str(first.public_id)
    (moved,) = app.get("/balances/NGN/statement", account="in_transit")["items"]
    assert (moved["amount"], moved["transfer"]) == (ngn(400), shown["items"][0]["transfer"])


def test_pages_follow_each_other_without_gap_or_overlap(app: App) -> None:
    for amount in range(1, 8):
        owe(user_id=app.person.pk, amount_minor=amount)
    numbers: list[int] = []
    cursor = None
    while True:
        page = app.get("/balances/NGN/statement", limit=3, **({"cursor": cursor} if cursor else {}))
        numbers += [one["number"] for one in page["items"]]
        owe(user_id=app.person.pk)  # what comes meanwhile shifts nothing
        cursor = page["next"]
        if cursor is None:
            break
    assert numbers == [7, 6, 5, 4, 3, 2, 1]


def test_another_persons_statement_is_not_to_be_had(app: App) -> None:
    owe(user_id=app.person.pk + 1)
    cursor = cursor_of("statement", 99)
    assert app.get("/balances/NGN/statement", cursor=cursor)["items"] == []
    assert csv_of(app, f"{API}/balances/NGN/statement.csv")[1][1:] == []


@pytest.mark.parametrize(
    ("path", "query", "field"),
    [
        ("/balances/ngn/statement", {}, "currency"),
        ("/balances/NAIRA/statement", {}, "currency"),
        ("/balances/NGN/statement", {"account": "suspense"}, "account"),
        ("/balances/NGN/statement", {"limit": 101}, "limit"),
        ("/balances/NGN/statement", {"limit": 0}, "limit"),
        ("/balances/NGN/statement", {"cursor": "x"}, "cursor"),
        ("/balances/NGN/statement", {"cursor": cursor_of("escrows", 5)}, "cursor"),
        ("/balances/NGN/statement.csv", {"cursor": cursor_of("statement", "x")}, "cursor"),
    ],
)
def test_a_wrong_question_names_its_field(app: App, path: str, query: Any, field: str) -> None:
    assert list(app.get(path, 422, **query)["fields"]) == [field]


@pytest.mark.parametrize("position", [-1, 0, 10**30])
def test_a_cursor_beyond_all_entries_is_an_empty_or_a_first_page(app: App, position: int) -> None:
    owe(user_id=app.person.pk)
    cursor = cursor_of("statement", position)
    assert len(app.get("/balances/NGN/statement", cursor=cursor)["items"]) == (position > 0)


def test_the_download_has_the_same_entries(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statements, "READ_AT_ONCE", 2)
    for amount in range(1, 6):
        owe(user_id=app.person.pk, amount_minor=amount * 1_050)
    hold(user_id=app.person.pk, amount_minor=25)
    response, (columns, *rows) = csv_of(app, f"{API}/balances/NGN/statement.csv")
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    assert response["Content-Disposition"] == 'attachment; filename="amani-NGN-payable.csv"'
    assert (response["Cache-Control"], "Link" in response) == ("no-store", False)
    read = [dict(zip(columns, row, strict=True)) for row in rows]
    assert [int(row["number"]) for row in read] == [6, 5, 4, 3, 2, 1]
    assert (read[0]["kind"], read[0]["amount"], read[0]["balance"]) == ("payout_requested", "-0.25", "157.25")
    assert (read[0]["amount_minor"], read[0]["balance_minor"], read[0]["currency"]) == ("-25", "15725", "NGN")


def test_a_long_download_says_where_it_goes_on(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(balances, "MOST_CSV_ROWS", 3)
    for _ in range(7):
        owe(user_id=app.person.pk)
    path, numbers = f"{API}/balances/NGN/statement.csv?account=payable", []
    for _ in range(3):
        response, (_, *rows) = csv_of(app, path)
        numbers.append([int(row[0]) for row in rows])
        path = response.get("Link", "<>").partition(">")[0][1:]
    assert numbers == [[7, 6, 5], [4, 3, 2], [1]]
    assert path == ""


@pytest.mark.parametrize(
    ("currency", "amount_minor", "text"),
    [("JPY", 5, "5"), ("KWD", -1_250, "-1.250"), ("NGN", 10**15, "10000000000000.00"), ("NGN", 0, "0.00")],
)
def test_amounts_of_a_download_are_in_the_main_unit(currency: str, amount_minor: int, text: str) -> None:
    assert balances.in_main_unit(amount_minor, currency) == text


def queries_of(app: App, path: str) -> int:
    with CaptureQueriesContext(connection) as queries:
        response = app.client.get(path)
        b"".join(response)
    return len(queries)


@pytest.mark.parametrize("path", ["/balances", "/balances/NGN/statement", "/balances/NGN/statement.csv"])
def test_fifty_entries_cost_as_many_queries_as_one(app: App, path: str) -> None:
    owe(user_id=app.person.pk)
    one = queries_of(app, f"{API}{path}")
    for _ in range(49):
        owe(user_id=app.person.pk)
    assert queries_of(app, f"{API}{path}") == one <= 9
