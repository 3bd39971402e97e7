"""Tests the review queue: order, columns, filters and search."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from core.console.display import clock
from kyc import cases
from kyc.models import Case, Check, State
from kyc.tests import people

pytestmark = pytest.mark.django_db

CASES = "/admin/kyc/case/"
SYMBOL = re.compile(r'<span class="material-symbols-outlined"[^>]*>[^<]*</span>')


@pytest.fixture
def reviewer() -> User:
    reviewer = people.make_reviewer("rita")
    reviewer.full_name = "Rita Reviews"
    reviewer.save()
    return reviewer


@pytest.fixture
def browser(reviewer: User, client: Client) -> Client:
    client.force_login(reviewer)
    return client


def rows(client: Client, query: str = "") -> list[Case]:
    response = client.get(f"{CASES}?{query}")
    assert response.status_code == 200, response
    return list(response.context["cl"].result_list)


def text_of(client: Client, query: str = "") -> str:
    html = SYMBOL.sub("", client.get(f"{CASES}?{query}").content.decode())
    html = html[html.index('id="result_list"') : html.index('id="changelist-filter"')]
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def said(response: Any) -> list[str]:
    return [str(message) for message in get_messages(response.wsgi_request)]


def waits_since(case: Case, hours: float) -> Case:
    Case.objects.filter(pk=case.pk).update(submitted_at=timezone.now() - timedelta(hours=hours, seconds=30))
    return case


def test_list_is_the_queue_with_the_oldest_first(browser: Client, reviewer: User) -> None:
    young = waits_since(people.submitted(), 1)
    old = waits_since(people.in_review(reviewer), 30)
    people.approved(reviewer)
    people.rejected(reviewer)
    assert rows(browser) == [old, young]


def test_row_shows_waiting_time_target_and_reviewer(browser: Client, reviewer: User) -> None:
    late = waits_since(people.in_review(reviewer), 27)
    until = Case.objects.get(pk=late.pk).claimed_until
    assert until is not None
    row = f"Case {late.pk} passport · NG In review 1 d 3 h 3 h over target Rita Reviews until {clock(until)}"
    assert row in text_of(browser)


@pytest.mark.parametrize(
    ("hours", "words", "tone"),
    [
        (1, "22 h 59 min to target", "quiet"),
        (19, "4 h 59 min to target", "warning"),
        (24.5, "30 min over target", "bad"),
    ],
)
def test_colour_follows_the_words(browser: Client, hours: float, words: str, tone: str) -> None:
    waits_since(people.submitted(), hours)
    html = browser.get(CASES).content.decode()
    assert f'am-ink-{tone}">{words}<' in html


def test_claim_that_ran_out_says_so(browser: Client, reviewer: User) -> None:
    case = people.in_review(reviewer)
    Case.objects.filter(pk=case.pk).update(claimed_until=timezone.now() - timedelta(minutes=1))
    assert "Rita Reviews claim expired at" in text_of(browser)


def test_number_that_two_people_claim_is_flagged_on_both(browser: Client) -> None:
    first = people.submitted(number="A77777777")
    second = people.submitted(number="a7777-7777")
    third = people.submitted()
    assert text_of(browser).count("Number claimed twice") == 2
    assert rows(browser, "flag=duplicate") == [first, second]
    assert rows(browser, "flag=none") == [third]


def test_row_says_what_the_provider_said_last(browser: Client) -> None:
    case = people.submitted()
    Check.objects.create(case=case, provider="smile_id", reference="1", state="failed")
    Check.objects.create(case=case, provider="smile_id", reference="2", state="done", result="unclear")
    assert "Smile ID is not sure" in text_of(browser)
    assert "given up" not in text_of(browser)


def test_filters_find_every_state_and_what_is_mine(browser: Client, reviewer: User) -> None:
    approver = people.make_approver()
    by_state = {
        state: people.case_in(state, person=people.make_person(), reviewer=reviewer, approver=approver)
        for state in State
    }
    others = people.in_review(people.make_reviewer("tom"))
    for state, case in by_state.items():
        expected = [case, others] if state == "in_review" else [case]
        assert rows(browser, f"state={state}") == expected, state
    assert rows(browser, "state=mine") == [by_state[State.IN_REVIEW]]
    assert rows(browser, "state=all") == [others, *reversed(by_state.values())]
    doubted = people.doubted(people.make_reviewer())
    assert rows(browser, "state=doubted") == [doubted]
    assert "Doubted" in text_of(browser, "state=doubted")
    licence = people.submitted(document_type="drivers_licence", number="ABC1234567")
    assert rows(browser, "document_type__exact=drivers_licence") == [licence]


def test_list_contains_no_names_of_account_holders(browser: Client) -> None:
    case = people.submitted(people.make_person("hidden-person"), number="A99887766")
    html = browser.get(f"{CASES}?state=all").content.decode().lower()
    assert f"case {case.pk}" in html
    for secret in ("hidden-person", "a99887766", case.number_hash, str(case.public_id)):
        assert secret not in html


def find(client: Client, term: str) -> Any:
    return client.post(f"{CASES}find/", {"term": term})


def test_search_finds_a_case_by_its_ids(browser: Client) -> None:
    case = people.submitted()
    for term in (str(case.pk), str(case.public_id), case.public_id.hex.upper()):
        response = find(browser, f" {term} ")
        assert (response.status_code, response.url) == (303, f"{CASES}{case.pk}/change/")


def test_search_finds_people_by_the_beginning_of_their_address(browser: Client, reviewer: User) -> None:
    bola = people.make_person("bola.one")
    decided = people.approved(reviewer, bola)
    other = people.submitted(people.make_person("bola.two"))
    people.submitted(people.make_person("ada.bola"))
    response = find(browser, "Bola.")
    assert response.url == f"{CASES}?person__in={bola.pk},{other.person_id}"
    assert rows(browser, response.url.partition("?")[2]) == [other, decided]


def test_search_finds_a_whole_number_however_it_is_spelled(browser: Client, reviewer: User) -> None:
    old = people.rejected(reviewer, number="A12312312")
    new = people.submitted(number="A12312312")
    people.submitted(number="A12312313")
    response = find(browser, "a12 312-312")
    assert rows(browser, response.url.partition("?")[2]) == [new, old]
    assert "12312312" not in response.url


@pytest.mark.parametrize(
    "term", ["A12312399", "nobody@", "7\u202e7", "999999999", "ab", "%", "x" * 5_000, "a12\0"]
)
def test_search_that_finds_nothing_says_so(browser: Client, term: str) -> None:
    people.submitted(number="A12312312")
    response = find(browser, term)
    assert (response.status_code, response.url) == (303, CASES)
    assert said(response) == [
        "No case was found. Search by id, by the start of an e-mail address, or by the full number."
    ]


def test_what_is_searched_stands_in_no_log_and_no_address(
    browser: Client, caplog: pytest.LogCaptureFixture
) -> None:
    people.submitted(people.make_person("secret.person"), number="A12312312")
    caplog.clear()
    for term in ("secret.person@", "A12312312"):
        browser.get(find(browser, term).url)
    written = str([vars(record) for record in caplog.records])
    assert "/admin/kyc/case/find/" in written
    assert sum("kyc_cases_searched" in str(record.msg) for record in caplog.records) == 2
    assert "secret.person" not in written
    assert "12312312" not in written


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("person__in=x", 302),
        ("number_hash__in=%00", 400),
        ("state=%00", 400),
        ("number_hash__regex=(", 400),
        ("submitted_at__year=99999", 400),
        ("state=x", 200),
        ("flag=x", 200),
        ("p=x", 200),
    ],
)
def test_nonsense_in_the_address_is_no_error(browser: Client, query: str, status: int) -> None:
    people.submitted()
    assert browser.get(f"{CASES}?{query}").status_code == status


@pytest.mark.parametrize("query", ["number_last=312", "number_hash__startswith=0", "reason__contains=x"])
def test_the_list_takes_no_condition_that_it_does_not_offer(browser: Client, query: str) -> None:
    people.submitted(number="A12312312")
    assert browser.get(f"{CASES}?{query}").status_code == 400


def press_next(client: Client, **fields: Any) -> Any:
    return client.post(f"{CASES}next/", fields)


def test_review_next_claims_the_oldest_unclaimed_case(browser: Client, reviewer: User) -> None:
    waits_since(people.in_review(people.make_reviewer("tom")), 9)
    waits_since(people.submitted(reviewer), 8)
    oldest = waits_since(people.submitted(), 7)
    waits_since(people.submitted(), 6)
    response = press_next(browser)
    assert (response.status_code, response.url) == (303, f"{CASES}{oldest.pk}/change/")
    oldest.refresh_from_db()
    assert (oldest.state, oldest.claimed_by) == ("in_review", reviewer)


def test_review_next_goes_back_to_what_one_has_already(browser: Client, reviewer: User) -> None:
    mine = people.in_review(reviewer)
    other = waits_since(people.submitted(), 30)
    assert press_next(browser).url == f"{CASES}{mine.pk}/change/"
    other.refresh_from_db()
    assert other.state == "submitted"
    assert press_next(browser, besides=mine.pk).url == f"{CASES}{other.pk}/change/"
    assert press_next(browser, besides="9" * 5_000).status_code == 303


def test_review_next_takes_over_a_claim_that_ran_out(browser: Client, reviewer: User) -> None:
    case = people.in_review(people.make_reviewer("tom"))
    Case.objects.filter(pk=case.pk).update(claimed_until=timezone.now() - timedelta(minutes=1))
    assert press_next(browser).url == f"{CASES}{case.pk}/change/"
    case.refresh_from_db()
    assert case.claimed_by == reviewer


def test_review_next_with_nothing_left_says_so(browser: Client, reviewer: User) -> None:
    own = people.submitted(reviewer)
    response = press_next(browser)
    assert (response.status_code, response.url) == (303, CASES)
    assert said(response) == [
        "There is no case for you to review: all waiting cases are claimed, or are your own."
    ]
    own.refresh_from_db()
    assert own.state == "submitted"


def test_empty_queue_says_so_in_good_words(browser: Client) -> None:
    assert b"No case is waiting." in browser.get(CASES).content
    assert b"No case matches." in browser.get(f"{CASES}?state=revoked").content


def many_cases(reviewer: User, count: int) -> None:
    for number in range(count):
        reference = f"{count}-{number}"
        case = people.submitted(number="A70000000" if number % 2 else people.new_number())
        Check.objects.create(case=case, provider="smile_id", reference=reference, state="done")
        if number % 3 == 0:
            cases.claim(case_id=case.pk, reviewer=reviewer)


def queries_of(client: Client, address: str) -> int:
    with CaptureQueriesContext(connection) as queries:
        assert client.get(address).status_code == 200
    return len(queries)


def test_as_many_queries_for_50_rows_as_for_one(browser: Client, reviewer: User) -> None:
    addresses = (CASES, f"{CASES}?state=all", "/admin/")
    many_cases(reviewer, 2)
    few = [queries_of(browser, address) for address in addresses]
    many_cases(reviewer, 50)
    assert [queries_of(browser, address) for address in addresses] == few
    assert max(few) <= 16
