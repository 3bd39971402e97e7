"""The pages of fees: what they say, how one is set and taken back, who may, how much they read."""

from __future__ import annotations

import html
import re
from datetime import timedelta
from http import HTTPStatus
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from core.tests.plans import statements_of
from escrow.admin.tests.operators import said, signed_in, words
from escrow.escrows.fee_rules import rule_at, set_fee, terms_of
from escrow.escrows.fees import Terms
from escrow.escrows.tests.deals import make_freezer
from escrow.fee_texts import in_words, samples
from escrow.models import FeeRule

pytestmark = pytest.mark.django_db

TWO_PERCENT = Terms(200, 0, 0, None)
FEES, SET = "/admin/escrow/feerule/", "/admin/escrow/feerule/set/"


@pytest.fixture
def approver() -> Client:
    return signed_in("approver")


def typed(**changes: str) -> dict[str, str]:
    return {
        "currency": "ngn",
        "percent": "2.5",
        "fixed": "50",
        "minimum": "1,000.50",
        "maximum": "",
        "from_at": "",
        "reason": "Costs rose.",
        **changes,
    }


def rule(terms: Terms = TWO_PERCENT, currency: str = "NGN", **age: Any) -> FeeRule:
    return FeeRule.objects.create(
        currency=currency,
        from_at=timezone.now() + timedelta(**age),
        **terms._asdict(),
        created_by=make_freezer(),
        reason="<b>For a test</b>",
    )


def page_of(fee: FeeRule) -> str:
    return f"{FEES}{fee.pk}/change/"


def confirmation(response: Any) -> dict[str, str]:
    """What the confirming page posts."""
    found = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', response.content.decode())
    return {**{name: html.unescape(value) for name, value in found}, "confirmed": "yes"}


# --- What the pages say ---


def test_the_list_has_the_fee_of_each_currency_and_what_follows(approver: Client) -> None:
    rule(Terms(200, 5_000, 0, 100_000), days=9)
    rule(Terms(100, 0, 0, None), "KWD", days=9)
    text = words(approver, FEES)
    assert "NGN 1.5 %, at least NGN 100, at most NGN 50,000 then 2 % + NGN 50, at most NGN 1,000 from" in text
    assert "KWD none yet: cannot be used then 1 %" in text
    assert "NGN, USD: examples that Amani ships." in text


def test_a_fee_has_its_history_with_who_and_why_and_what_it_takes(approver: Client) -> None:
    fee = rule(Terms(200, 0, 50_000, None))
    page = approver.get(page_of(fee)).content.decode()
    assert "&lt;b&gt;For a test&lt;/b&gt;" in page
    assert "<b>For a test</b>" not in page
    text = words(approver, page_of(fee))
    assert fee.created_by is not None
    for part in (
        "In force NGN · from",
        f"now {fee.created_by.email}",
        "example of Amani Amani&#x27;s own figure; set your own.",
        "NGN 100 refused fee NGN 500",
        "NGN 1,000 NGN 500 50 %",
        "NGN 1,000,000 NGN 20,000 2 %",
    ):
        assert part in text


@pytest.mark.parametrize(
    ("currency", "terms", "expected"),
    [
        ("NGN", Terms(0, 0, 0, None), "no fee"),
        ("NGN", Terms(0, 0, 0, 500), "no fee"),
        ("NGN", Terms(25, 0, 0, None), "0.25 %"),
        ("JPY", Terms(1_000, 25, 0, None), "10 % + JPY 25"),
        ("KWD", Terms(0, 1_500, 2_000, 3_001), "KWD 1.500, at least KWD 2, at most KWD 3.001"),
        ("USD", Terms(0, 0, 5, None), "at least USD 0.05"),
    ],
)
def test_a_fee_in_words_has_the_digits_of_its_currency(currency: str, terms: Terms, expected: str) -> None:
    assert in_words(terms, currency) == expected


@pytest.mark.parametrize(("currency", "unit"), [("JPY", 1), ("NGN", 100), ("KWD", 1_000)])
def test_samples_are_of_the_currencys_main_unit(currency: str, unit: int) -> None:
    found = samples(currency, Terms(100, 0, 2 * unit, None), Terms(0, 100 * unit, 0, None))
    assert found[0] == (100 * unit, (2 * unit, "2 %", False), (100 * unit, "100 %", True))
    assert found[-1] == (10**7 * unit, (10**5 * unit, "1 %", False), (100 * unit, "0 %", False))


# --- Setting one ---


def test_a_fee_is_set_after_its_preview(approver: Client) -> None:
    asked = approver.post(SET, typed())
    text = asked.content.decode()
    assert [
        word in text
        for word in ("Check the new fee", "at least NGN 100,", "2.5 % + NGN 50, at least NGN 1,000.50")
    ] == [True] * 3
    row = re.sub(r"<[^>]+>|\s+", " ", text[text.index("NGN 100,000<") :]).split()
    assert " ".join(row[:10]) == "NGN 100,000 NGN 1,500 1.5 % NGN 2,550 2.55 %"
    before = rule_at("NGN", timezone.now())
    assert before is not None
    assert before.created_by is None
    done = approver.post(SET, confirmation(asked))
    fee = rule_at("NGN", timezone.now())
    assert fee is not None
    assert (done.status_code, done["Location"]) == (HTTPStatus.SEE_OTHER, page_of(fee))
    assert (terms_of(fee), fee.reason) == (Terms(250, 5_000, 100_050, None), "Costs rose.")
    assert fee.created_by_id == int(approver.session["_auth_user_id"])


def test_amounts_are_read_with_the_digits_of_their_currency(approver: Client) -> None:
    for currency, amount, minor in (("JPY", "1,500", 1_500), ("KWD", "1.505", 1_505)):
        wanted = typed(currency=currency, fixed=amount, minimum="", reason="Begins.")
        approver.post(SET, confirmation(approver.post(SET, wanted)))
        assert FeeRule.objects.get(currency=currency).fixed_minor == minor


def test_a_fee_may_be_planned_and_taken_back(approver: Client) -> None:
    soon = (timezone.now() + timedelta(days=3)).replace(microsecond=0)
    asked = approver.post(SET, typed(from_at=f"{soon:%Y-%m-%dT%H:%M:%S}"))
    planned = FeeRule.objects.get(pk=pk_of(approver.post(SET, confirmation(asked))))
    assert planned.from_at == soon
    link = take_back(approver, planned)
    filled = {name: str(value or "") for name, value in approver.get(link).context["form"].initial.items()}
    assert filled == {
        "currency": "NGN",
        "percent": "1.5",
        "fixed": "0",
        "minimum": "100",
        "maximum": "50,000",
        "from_at": f"{soon + timedelta(seconds=1):%Y-%m-%dT%H:%M:%S}",
    }
    asked = approver.post(SET, {**filled, "reason": "One digit too many."})
    back = FeeRule.objects.get(pk=pk_of(approver.post(SET, confirmation(asked))))
    assert terms_of(back) == Terms(150, 0, 10_000, 5_000_000)
    assert take_back(approver, planned) == ""  # it is done


def pk_of(done: Any) -> int:
    assert done.status_code == HTTPStatus.SEE_OTHER, done.content
    return int(done["Location"].split("/")[-3])


def take_back(client: Client, fee: FeeRule) -> str:
    page = client.get(page_of(fee)).content.decode()
    found = re.search(r'<a href="([^"]+)">(?:<span[^>]*>undo</span>)Take back', page)
    return html.unescape(found[1]) if found else ""


def test_the_first_fee_of_a_currency_and_one_in_force_are_not_taken_back(approver: Client) -> None:
    assert [take_back(approver, fee) for fee in (rule(currency="KWD", days=1), rule())] == ["", ""]


def test_what_was_confirmed_must_still_be_the_change_that_was_shown(approver: Client) -> None:
    answer = confirmation(approver.post(SET, typed()))
    rule()
    again = approver.post(SET, answer)
    assert said(again) == ["Nothing was set, because the fee has changed. Check it again."]
    count = FeeRule.objects.count()
    assert approver.post(SET, confirmation(again)).status_code == HTTPStatus.SEE_OTHER
    assert FeeRule.objects.count() == count + 1


def test_one_may_go_back_and_change_it(approver: Client) -> None:
    answer = confirmation(approver.post(SET, typed()))
    del answer["confirmed"]
    text = approver.post(SET, {**answer, "back": "yes"}).content.decode()
    assert 'value="1,000.50"' in text
    assert "Continue" in text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"currency": "ABC"}, "Use an ISO 4217 code"),
        ({"percent": "100"}, "Enter 0 to 99.99"),
        ({"percent": "1,5"}, "Enter 0 to 99.99"),
        ({"percent": "-1"}, "Enter 0 to 99.99"),
        ({"percent": "1.505"}, "Enter 0 to 99.99"),
        ({"percent": "٢"}, "Enter 0 to 99.99"),
        ({"percent": ""}, "This field is required"),
        ({"fixed": "-5"}, "Enter an amount"),
        ({"minimum": "1.234"}, "no more decimals than the currency has"),
        ({"maximum": "a lot"}, "Enter an amount"),
        ({"maximum": "1,000"}, "must not be below the minimum"),
        ({"fixed": "9" * 15}, "what an escrow may have"),
        ({"from_at": "2020-01-01T00:00"}, "Choose a time in the future"),
        ({"reason": " "}, "This field is required"),
        (
            {"percent": "1.5", "fixed": "", "minimum": "100", "maximum": "50,000", "currency": "XTS"},
            "already the fee",
        ),
    ],
)
def test_what_can_be_no_fee_is_said_at_its_field(
    approver: Client, changes: dict[str, str], message: str
) -> None:
    rule(Terms(150, 0, 10_000, 5_000_000), "XTS")
    before = FeeRule.objects.count()
    response = approver.post(SET, {**typed(**changes), "confirmed": "yes"})
    assert response.status_code == HTTPStatus.OK
    assert message in response.content.decode()
    assert FeeRule.objects.count() == before


# --- Roles, and how much is read ---


@pytest.mark.parametrize("role", ["finance", "viewer", "responder", "kyc reviewer"])
def test_only_an_approver_may_set_a_fee(role: str) -> None:
    client, fee = signed_in(role), rule(days=1)
    count = FeeRule.objects.count()
    sees = HTTPStatus.OK if role == "finance" else HTTPStatus.FORBIDDEN
    pages = [client.get(FEES), client.get(page_of(fee))]
    assert [page.status_code for page in pages] == [sees, sees]
    assert b"Set a" not in pages[0].content + pages[1].content
    assert b"Take back" not in pages[1].content
    assert client.get(SET).status_code == HTTPStatus.FORBIDDEN
    assert client.post(SET, {**typed(), "confirmed": "yes"}).status_code == HTTPStatus.FORBIDDEN
    assert FeeRule.objects.count() == count


def test_pages_take_the_same_queries_for_one_rule_and_for_many(approver: Client) -> None:
    fee = rule()
    pages = (FEES, page_of(fee))
    few = [len(statements_of(approver, page)) for page in pages]
    for number in range(1, 20):
        rule(days=number)
        rule(currency=("KWD", "JPY", "GHS", "KES")[number % 4], days=-number)
    assert [len(statements_of(approver, page)) for page in pages] == few


@pytest.mark.parametrize("pk", ["0", "999999", "x", "9" * 40])
def test_a_fee_that_is_not_there_is_404(approver: Client, pk: str) -> None:
    assert approver.get(f"{FEES}{pk}/change/").status_code == HTTPStatus.NOT_FOUND


def test_the_start_page_names_examples_in_production(settings: Any) -> None:
    client = signed_in("finance")
    assert "Fees NGN, USD: examples" in words(client, "/admin/")
    settings.DEBUG = True
    assert "examples" not in words(client, "/admin/")
    settings.DEBUG = False
    for currency in ("NGN", "USD"):
        set_fee(currency=currency, terms=Terms(100, 0, 0, None), actor=make_freezer(), reason="Ours.")
    assert "examples" not in words(client, "/admin/")
