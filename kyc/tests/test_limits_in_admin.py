import html
import re
from datetime import timedelta
from http import HTTPStatus
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import User
from kyc.limits import rule_at, set_limit
from kyc.limits.tests.amounts import CURRENCY, limit
from kyc.models import LimitKind, LimitRule
from kyc.tests.people import make_approver, make_operator

pytestmark = pytest.mark.django_db
LIMITS, SET = "admin:kyc_limitrule_changelist", "admin:kyc_limitrule_set"


@pytest.fixture
def approver(client: Client) -> User:
    operator = make_approver("ada")
    operator.full_name = "Ada Approver"
    operator.save()
    client.force_login(operator)
    return operator


def typed(**changes: str) -> dict[str, str]:
    return {
        "tier": "1",
        "currency": "xts",
        "kind": "daily",
        "amount": "1,500.50",
        "valid_from": "",
        "reason": "A new circular.",
        **changes,
    }


def page_of(rule: LimitRule) -> str:
    return reverse("admin:kyc_limitrule_change", args=[rule.pk])


def rule_of(**fields: Any) -> LimitRule:
    return LimitRule.objects.get(currency=CURRENCY, **fields)


def confirmation(response: Any) -> dict[str, str]:
    """What the confirming page posts."""
    text = response.content.decode()
    fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', text))
    return {**fields, "confirmed": "yes"}


def test_limits_are_shown_by_currency_tier_and_kind(client: Client, approver: User) -> None:
    limit(123_456, LimitKind.DAILY, tier=1)
    limit(
        200_000, LimitKind.DAILY, tier=1, since=timezone.now().replace(hour=0, minute=0) + timedelta(days=9)
    )
    text = client.get(reverse(LIMITS)).content.decode()
    assert "XTS 1,234.56" in text
    assert "XTS 2,000 from" in text
    assert "NGN 50,000" in text
    assert "none: refused" in text


def test_limits_take_the_same_queries_however_many_there_are(
    client: Client, approver: User, django_assert_max_num_queries: Any
) -> None:
    for number in range(60):
        limit(number, since=timezone.now() - timedelta(days=number))
    with django_assert_max_num_queries(9) as queries:
        client.get(reverse(LIMITS))
    assert sum("kyc_limitrule" in query["sql"] for query in queries) == 2
    rule = LimitRule.objects.filter(currency=CURRENCY).latest("valid_from")
    with django_assert_max_num_queries(9) as queries:
        client.get(page_of(rule))
    assert sum("kyc_limitrule" in query["sql"] for query in queries) == 2


def test_a_limit_has_its_history_with_who_and_why(client: Client, approver: User) -> None:
    limit(100, LimitKind.DAILY, tier=1)
    rule = set_limit(
        tier=1, currency=CURRENCY, kind="daily", amount_minor=900, actor=approver, reason="<b>Festive</b>"
    )
    text = client.get(page_of(rule)).content.decode()
    assert [word in text for word in ("In force", "XTS 9", "XTS 1<", "Ada Approver", "For a test.")] == [
        True
    ] * 5
    assert "&lt;b&gt;Festive&lt;/b&gt;" in text
    assert "<b>Festive</b>" not in text


def test_a_limit_is_set_after_being_asked_twice(client: Client, approver: User) -> None:
    limit(200_000, LimitKind.DAILY, tier=1)
    asked = client.post(reverse(SET), typed())
    assert LimitRule.objects.filter(currency=CURRENCY).count() == 1
    text = asked.content.decode()
    assert [
        word in text for word in ("Check the new limit", "XTS 2,000", "XTS 1,500.50", "becomes lower")
    ] == [True] * 4
    done = client.post(reverse(SET), confirmation(asked))
    rule = rule_of(amount_minor=150_050)
    assert (done.status_code, done["Location"]) == (HTTPStatus.SEE_OTHER, page_of(rule))
    assert (rule.created_by, rule.reason, rule.tier, rule.kind) == (approver, "A new circular.", 1, "daily")


def test_a_limit_may_be_planned(client: Client, approver: User) -> None:
    soon = (timezone.now() + timedelta(days=3)).replace(second=0, microsecond=0)
    asked = client.post(reverse(SET), typed(valid_from=f"{soon:%Y-%m-%dT%H:%M}"))
    assert client.post(reverse(SET), confirmation(asked)).status_code == HTTPStatus.SEE_OTHER
    assert rule_of().valid_from == soon


def link_to_take_back(client: Client, rule: LimitRule) -> str:
    found = re.search(
        r'<a href="([^"]+)">(?:<span[^>]*>undo</span>)Take back', client.get(page_of(rule)).content.decode()
    )
    return html.unescape(found[1]) if found else ""


@pytest.mark.parametrize(("held", "amount"), [(123_456, "1,234.56"), (None, "0")])
def test_a_planned_limit_is_taken_back_a_second_after_it_begins(
    client: Client, approver: User, held: int | None, amount: str
) -> None:
    if held is not None:
        limit(held, LimitKind.DAILY, tier=1)
    begins = (timezone.now() + timedelta(days=3)).replace(microsecond=0)
    limit(900_000, LimitKind.DAILY, tier=1, since=begins)
    planned = rule_of(valid_from=begins)
    form = client.get(link_to_take_back(client, planned)).context["form"]
    filled = {name: str(form[name].value() or "") for name in typed()}
    assert filled == {
        **typed(reason="", currency=CURRENCY, amount=amount),
        "valid_from": f"{begins + timedelta(seconds=1):%Y-%m-%dT%H:%M:%S}",
    }
    asked = client.post(reverse(SET), {**filled, "reason": "Typed one nought too many."})
    assert client.post(reverse(SET), confirmation(asked)).status_code == HTTPStatus.SEE_OTHER
    later = begins + timedelta(seconds=1)
    back = rule_at(tier=1, currency=CURRENCY, kind=LimitKind.DAILY, at=later)
    assert back is not None
    assert (back.amount_minor, back.valid_from) == (held or 0, later)
    assert link_to_take_back(client, planned) == ""  # it is done
    assert link_to_take_back(client, back) != ""  # and may be thought better of


def test_what_holds_or_held_and_what_changes_nothing_is_not_taken_back(
    client: Client, approver: User
) -> None:
    limit(100, LimitKind.DAILY, tier=1, since=timezone.now() - timedelta(days=2))
    limit(200, LimitKind.DAILY, tier=1)
    limit(200, LimitKind.DAILY, tier=1, since=timezone.now() + timedelta(days=2))
    rules = LimitRule.objects.filter(currency=CURRENCY)
    assert [link_to_take_back(client, rule) for rule in rules] == ["", "", ""]


def test_who_only_sees_limits_is_not_offered_to_take_them_back(client: Client) -> None:
    client.force_login(make_operator("finance"))
    limit(200, LimitKind.DAILY, tier=1, since=timezone.now() + timedelta(days=2))
    assert link_to_take_back(client, rule_of()) == ""


def test_confirming_twice_sets_one_limit(client: Client, approver: User) -> None:
    answer = confirmation(client.post(reverse(SET), typed()))
    client.post(reverse(SET), answer)
    again = client.post(reverse(SET), answer)
    assert "already has this amount at that time" in again.content.decode()
    assert LimitRule.objects.filter(currency=CURRENCY).count() == 1


def test_what_was_confirmed_must_still_be_the_change_that_was_shown(client: Client, approver: User) -> None:
    answer = confirmation(client.post(reverse(SET), typed()))
    limit(7_700, LimitKind.DAILY, tier=1)
    again = client.post(reverse(SET), answer)
    text = again.content.decode()
    assert "because the limit has changed" in text
    assert "XTS 77" in text
    assert LimitRule.objects.filter(currency=CURRENCY).count() == 1
    assert client.post(reverse(SET), confirmation(again)).status_code == HTTPStatus.SEE_OTHER
    assert LimitRule.objects.filter(currency=CURRENCY).count() == 2


def test_one_may_go_back_and_change_it(client: Client, approver: User) -> None:
    answer = confirmation(client.post(reverse(SET), typed()))
    del answer["confirmed"]
    text = client.post(reverse(SET), {**answer, "back": "yes"}).content.decode()
    assert 'value="1,500.50"' in text
    assert "Continue" in text
    assert not LimitRule.objects.filter(currency=CURRENCY).exists()


@pytest.mark.parametrize("confirmed", [{}, {"confirmed": "yes"}])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tier": "4"}, "Select a valid choice"),
        ({"currency": "ABC"}, "Use an ISO 4217 code"),
        ({"kind": "yearly"}, "Select a valid choice"),
        ({"amount": "a lot"}, "Enter an amount"),
        ({"amount": "-5"}, "Enter an amount"),
        ({"amount": "1.234"}, "no more decimals than the currency has"),
        ({"amount": "9" * 16}, "Enter an amount"),
        ({"reason": " "}, "This field is required"),
        ({"valid_from": "2020-01-01T00:00"}, "Choose a time in the future"),
        ({"valid_from": "soon"}, "Enter a valid date/time"),
    ],
)
def test_what_can_be_no_limit_is_said_at_its_field(
    client: Client, approver: User, changes: dict[str, str], message: str, confirmed: dict[str, str]
) -> None:
    response = client.post(reverse(SET), {**typed(**changes), **confirmed})
    assert response.status_code == HTTPStatus.OK
    assert message in response.content.decode()
    assert not LimitRule.objects.filter(currency=CURRENCY).exists()


@pytest.mark.parametrize("role", ["finance", "viewer", "responder", "kyc reviewer"])
def test_only_an_approver_may_set_a_limit(client: Client, role: str) -> None:
    client.force_login(make_operator(role))
    limit(100, LimitKind.DAILY, tier=1)
    sees = HTTPStatus.OK if role == "finance" else HTTPStatus.FORBIDDEN
    pages = [client.get(reverse(LIMITS)), client.get(page_of(rule_of()))]
    assert [page.status_code for page in pages] == [sees, sees]
    assert b"Set a" not in pages[0].content + pages[1].content
    assert client.get(reverse(SET)).status_code == HTTPStatus.FORBIDDEN
    assert client.post(reverse(SET), {**typed(), "confirmed": "yes"}).status_code == HTTPStatus.FORBIDDEN
    assert LimitRule.objects.filter(currency=CURRENCY).count() == 1


def test_rows_cannot_be_added_changed_or_deleted(admin_client: Client) -> None:
    limit(100, LimitKind.DAILY, tier=1)
    page = page_of(rule_of())
    assert admin_client.post(page, {"amount_minor": "1"}).status_code == HTTPStatus.METHOD_NOT_ALLOWED
    assert admin_client.get(reverse("admin:kyc_limitrule_add")).status_code == HTTPStatus.FORBIDDEN
    delete = reverse("admin:kyc_limitrule_delete", args=[rule_of().pk])
    assert admin_client.post(delete, {"post": "yes"}).status_code == HTTPStatus.FORBIDDEN
    assert rule_of().amount_minor == 100
