from http import HTTPStatus
from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.db import transaction
from django.test import Client
from django.urls import reverse

from kyc.limits import use
from kyc.limits.tests.amounts import CURRENCY, limit
from kyc.models import LimitKind, LimitUsage
from kyc.tests.people import make_operator, make_person

pytestmark = pytest.mark.django_db
USAGE = "admin:kyc_limitusage_changelist"


def used_by_somebody(name: str, amount_minor: int, *kinds: LimitKind) -> LimitUsage:
    person = make_person(name)
    with transaction.atomic():
        use(person_id=person.pk, currency=CURRENCY, amount_minor=amount_minor, kinds=kinds)
    return LimitUsage.objects.get(person=person)


def test_finance_sees_how_much_is_used_without_seeing_who(client: Client) -> None:
    limit(10_000)
    client.force_login(make_operator("finance"))
    plenty = used_by_somebody("adaeze", 4_000, LimitKind.DAILY)
    used_by_somebody("tunde", 9_000, LimitKind.BALANCE)
    text = client.get(reverse(USAGE)).content.decode()
    for word in (f"Person {plenty.person_id}", "XTS 40", "of XTS 100", "40% used", "90% used", "am-warning"):
        assert word in text
    assert "adaeze" not in text
    assert "tunde" not in text


def find(client: Client, term: str) -> Any:
    return client.post(reverse("admin:kyc_limitusage_find"), {"term": term})


def test_people_are_found_by_number_or_by_the_beginning_of_their_address(client: Client) -> None:
    limit(10_000)
    client.force_login(make_operator("finance"))
    plenty = used_by_somebody("adaeze.one", 4_000, LimitKind.DAILY)
    nearly = used_by_somebody("adaeze.two", 9_000, LimitKind.DAILY)
    used_by_somebody("tunde.adaeze", 1_000, LimitKind.DAILY)
    make_person("adaeze.three")  # has used nothing
    for term, rows in (
        (f" {nearly.person_id} ", [nearly]),
        ("Adaeze.T", [nearly]),
        ("adaeze.", [plenty, nearly]),
    ):
        answer = find(client, term)
        people = ",".join(str(row.person_id) for row in rows)
        assert (answer.status_code, answer.url) == (303, f"{reverse(USAGE)}?person__in={people}")
        found = client.get(answer.url).content.decode()
        shown = [row for row in LimitUsage.objects.order_by("pk") if f"Person {row.person_id}<" in found]
        assert shown == rows


@pytest.mark.parametrize("term", ["nobody@", "ad", "%", "999999999", "9" * 100, "ada\0", "adaeze.idle"])
def test_a_search_that_finds_nothing_says_so(client: Client, term: str) -> None:
    limit(10_000)
    client.force_login(make_operator("finance"))
    used_by_somebody("adaeze", 1, LimitKind.DAILY)
    make_person("adaeze.idle")
    answer = find(client, term)
    assert (answer.status_code, answer.url) == (303, reverse(USAGE))
    assert [str(message) for message in get_messages(answer.wsgi_request)] == [
        "No usage was found for this user id or start of an e-mail address."
    ]


def test_whom_finance_looks_for_stands_in_no_log_and_no_address(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    limit(10_000)
    client.force_login(make_operator("finance"))
    used_by_somebody("secret.person", 1, LimitKind.DAILY)
    caplog.clear()
    client.get(find(client, "secret.person@").url)
    written = str([vars(record) for record in caplog.records])
    assert "/admin/kyc/limitusage/find/" in written
    assert "secret.person" not in written


def test_a_persons_page_says_what_is_left_of_every_limit(client: Client) -> None:
    limit(10_000)
    client.force_login(make_operator("finance"))
    row = used_by_somebody("adaeze", 9_999, LimitKind.DAILY)
    text = client.get(reverse("admin:kyc_limitusage_change", args=[row.pk])).content.decode()
    for word in ("Adaeze", "Tier 0", "Verify your NIN or BVN", "XTS 99.99", "XTS 0.01", "nearly used up"):
        assert word in text


def test_the_list_takes_the_same_queries_for_one_row_and_for_fifty(
    client: Client, django_assert_num_queries: Any
) -> None:
    limit(10_000)
    client.force_login(make_operator("finance"))
    for names in (["one"], [f"person-{number}" for number in range(49)]):
        for name in names:
            used_by_somebody(name, 1, LimitKind.DAILY)
        with django_assert_num_queries(8):
            assert client.get(reverse(USAGE)).status_code == HTTPStatus.OK


@pytest.mark.parametrize("role", ["viewer", "responder", "kyc reviewer"])
def test_other_roles_cannot_see_usage(client: Client, role: str) -> None:
    limit(10_000)
    client.force_login(make_operator(role))
    row = used_by_somebody("adaeze", 1, LimitKind.DAILY)
    pages = [reverse(USAGE), reverse("admin:kyc_limitusage_change", args=[row.pk])]
    assert {client.get(page).status_code for page in pages} == {HTTPStatus.FORBIDDEN}


def test_usage_cannot_be_changed(admin_client: Client) -> None:
    limit(10_000)
    row = used_by_somebody("adaeze", 1, LimitKind.DAILY)
    page = reverse("admin:kyc_limitusage_change", args=[row.pk])
    assert admin_client.post(page, {"used_minor": "0"}).status_code == HTTPStatus.METHOD_NOT_ALLOWED
    row.refresh_from_db()
    assert row.used_minor == 1
