"""Tests a case's page: its content, and that every action is authorised and recorded."""

from __future__ import annotations

import re
import threading
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.core import serializers
from django.db import connection
from django.db.utils import ProgrammingError
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from kyc import cases
from kyc.admin import actions
from kyc.admin.actions import CaseChanged
from kyc.admin.next_case import review_next
from kyc.badges import EVENT_BADGES, STATE_BADGES
from kyc.cases.states import TRANSITIONS, Event, Who
from kyc.errors import DuplicateNumber, KycError
from kyc.models import Case, CaseEvent, Check, DocumentAccess, NumberAccess, State
from kyc.tests import people

pytestmark = pytest.mark.django_db

CASES = "/admin/kyc/case/"
OPERATORS = {Who.REVIEWER, Who.CLAIMER, Who.REVOKER}
WHY = {"reason_code": "unreadable", "reason": "The number can't be read."}


@pytest.fixture
def reviewer() -> User:
    return people.make_reviewer("rita")


@pytest.fixture
def browser(reviewer: User) -> Client:
    return signed_in(reviewer)


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def page(client: Client, case: Case) -> Any:
    return client.get(f"{CASES}{case.pk}/change/")


def text_of(client: Client, case: Case) -> str:
    html = str(page(client, case).content.decode())
    html = re.sub(r'<span class="material-symbols-outlined"[^>]*>[^<]*</span>', "", html)
    html = html[html.index("kyc-hero") :]
    return " ".join(re.sub(r"<[^>]+>", " ", html).split()).replace("&#x27;", "'")


def act(client: Client, case: Case, event: str, **fields: Any) -> Any:
    return client.post(f"{CASES}{case.pk}/{event}/", {"version": case.version, **fields})


def said(response: Any) -> list[str]:
    return [str(message) for message in get_messages(response.wsgi_request)]


def everything() -> str:
    rows = [*Case.objects.order_by("pk"), *CaseEvent.objects.order_by("pk")]
    return str(serializers.serialize("json", rows))


def offered(client: Client, case: Case) -> list[str]:
    return [str(action.event) for action in page(client, case).context["actions"]]


# --- What is offered ---


@pytest.mark.parametrize(
    ("state", "reviewers", "approvers", "superusers"),
    [
        ("draft", [], [], []),
        ("submitted", ["claim"], [], ["claim"]),
        ("in_review", ["approve", "reject", "ask_for_more", "release"], [], []),
        ("approved", [], ["revoke"], ["revoke"]),
        ("rejected", [], [], []),
        ("expired", [], [], []),
        ("revoked", [], [], []),
    ],
)
def test_each_sees_the_actions_of_their_part_in_that_state(
    browser: Client,
    reviewer: User,
    state: str,
    reviewers: list[str],
    approvers: list[str],
    superusers: list[str],
) -> None:
    approver = people.make_approver()
    case = people.case_in(State(state), person=people.make_person(), reviewer=reviewer, approver=approver)
    root = User.objects.create_superuser("root@example.com")
    assert offered(browser, case) == reviewers
    assert offered(signed_in(approver), case) == approvers
    assert offered(signed_in(root), case) == superusers


def test_every_step_of_an_operator_in_the_table_has_a_button() -> None:
    by_operators = {row.event for row in TRANSITIONS.rows if row.who & OPERATORS}
    assert by_operators == set(actions.ACTIONS)


@pytest.mark.parametrize("event", actions.ACTIONS)
def test_every_button_takes_the_step_of_the_table_and_the_page_says_so(
    event: Event, reviewer: User, django_capture_on_commit_callbacks: Any
) -> None:
    """What waits for the commit runs as well: a decision that the metrics do not know would fail there."""
    row = next(row for row in TRANSITIONS.rows if row.event == event and row.who & OPERATORS)
    approver = people.make_approver()
    case = people.case_in(row.source, person=people.make_person(), reviewer=reviewer, approver=approver)
    operator = signed_in(approver if Who.REVOKER in row.who else reviewer)
    with django_capture_on_commit_callbacks(execute=True):
        act(operator, case, event, **WHY)
    case.refresh_from_db()
    assert case.state == row.target
    newest, _tone, _icon, text = page(operator, case).context["timeline"][0]
    assert (newest.event, text) == (event, EVENT_BADGES[event][2])


def test_every_state_and_event_has_a_badge() -> None:
    assert (set(STATE_BADGES), set(EVENT_BADGES)) == (set(State), set(Event))


def test_claim_that_ran_out_may_be_taken_over(browser: Client, reviewer: User) -> None:
    case = people.in_review(people.make_reviewer("tom"))
    assert offered(browser, case) == []
    Case.objects.filter(pk=case.pk).update(claimed_until=timezone.now() - timedelta(seconds=1))
    assert offered(browser, case) == ["claim"]
    act(browser, case, "claim")
    case.refresh_from_db()
    assert (case.state, case.claimed_by) == ("in_review", reviewer)


@pytest.mark.parametrize("role", ["kyc reviewer", "superuser"])
def test_own_case_has_no_actions_no_images_and_says_why(role: str) -> None:
    me = people.make_reviewer() if role != "superuser" else User.objects.create_superuser("root@example.com")
    case = people.submitted(me)
    browser = signed_in(me)
    response = page(browser, case)
    assert response.context["actions"] == []
    assert "images" not in response.context
    assert "This is your own case. Another operator has to decide on it." in text_of(browser, case)
    before = everything()
    for event in actions.ACTIONS:
        act(browser, case, event, **WHY)
    assert browser.post(f"{CASES}{case.pk}/number/").status_code == 303
    assert everything() == before
    assert NumberAccess.objects.count() == 0


# --- What is done ---


def test_reviewer_claims_approves_and_is_named_in_the_timeline(browser: Client, reviewer: User) -> None:
    case = people.submitted()
    response = act(browser, case, "claim")
    assert (response.status_code, response.url) == (303, f"{CASES}{case.pk}/change/")
    assert said(response) == ["Claimed by you."]
    case.refresh_from_db()
    response = act(browser, case, "approve", reason="Matches.")
    assert said(response)[-1] == "Approved."
    case.refresh_from_db()
    assert (case.state, case.decided_by) == ("approved", reviewer)
    event = CaseEvent.objects.latest("pk")
    assert (event.event, event.actor, event.reason) == ("approve", reviewer, "Matches.")
    text = text_of(browser, case)
    assert "Approved by rita@example.com" in text
    assert "Matches." in text
    assert f"request {event.request_id}" in text
    assert "Review next" in text


@pytest.mark.parametrize(
    ("event", "state", "words"),
    [
        ("reject", "rejected", "Rejected."),
        ("ask_for_more", "draft", "Sent back to the account holder."),
        ("release", "submitted", "Released for other reviewers."),
    ],
)
def test_reviewer_decides_with_a_reason(
    browser: Client, reviewer: User, event: str, state: str, words: str
) -> None:
    case = people.in_review(reviewer)
    assert said(act(browser, case, event, **WHY)) == [words]
    case.refresh_from_db()
    assert case.state == state


def test_approver_revokes_with_a_reason(reviewer: User) -> None:
    case = people.approved(reviewer)
    approver = people.make_approver()
    response = act(signed_in(approver), case, "revoke", reason_code="suspected_fraud", reason="Forged.")
    assert said(response) == ["Revoked. The approval no longer counts."]
    case.refresh_from_db()
    assert (case.state, case.reason_code) == ("revoked", "suspected_fraud")


def test_approver_upholds_what_a_provider_doubts_and_says_why(reviewer: User) -> None:
    case = people.doubted(reviewer)
    approver = people.make_approver("ada")
    browser = signed_in(approver)
    assert offered(browser, case) == ["revoke", "uphold"]
    assert "Manual doubts this approval since" in text_of(browser, case)

    before = everything()
    assert said(act(browser, case, "uphold", reason=" ")) == ["This decision needs a reason."]
    assert everything() == before

    response = act(signed_in(approver), case, "uphold", reason="The passport office knows it.")
    assert said(response) == ["Upheld. The approval stays valid."]
    case.refresh_from_db()
    assert (case.state, case.doubted_at, case.decided_by) == ("approved", None, approver)
    last = case.events.last()
    assert last is not None
    assert (last.event, last.actor, last.reason) == ("uphold", approver, "The passport office knows it.")
    assert case.reason == ""  # the person reads nothing of it
    assert offered(browser, case) == ["revoke"]
    assert "doubts" not in text_of(browser, case)


def test_own_approval_cannot_be_upheld(reviewer: User) -> None:
    approver = people.make_approver()
    case = people.doubted(reviewer, approver)
    before = everything()
    assert offered(signed_in(approver), case) == []
    act(signed_in(approver), case, "uphold", reason="It is me.")
    assert everything() == before


@pytest.mark.parametrize("event", ["reject", "ask_for_more"])
@pytest.mark.parametrize(
    "fields", [{}, {"reason_code": "other"}, {"reason": "x"}, {**WHY, "reason_code": "x"}]
)
def test_refusal_without_its_reason_changes_nothing(
    browser: Client, reviewer: User, event: str, fields: dict[str, str]
) -> None:
    case = people.in_review(reviewer)
    before = everything()
    response = act(browser, case, event, **fields)
    assert response.status_code == 303
    assert len(said(response)) == 1
    assert everything() == before


def test_duplicate_number_is_approved_only_with_a_reason(browser: Client, reviewer: User) -> None:
    other = people.submitted(number="A77777777")
    case = people.in_review(reviewer, number="A77777777")
    html = page(browser, case).content.decode()
    assert "Another account claims the same number. Why is this one right?" in html
    before = everything()
    assert "Another account claims the same document number" in said(act(browser, case, "approve"))[0]
    assert everything() == before
    act(browser, case, "approve", reason="The other is a typo.", saw_duplicate="yes")
    case.refresh_from_db()
    assert case.state == "approved"
    other.refresh_from_db()
    assert other.state == "submitted"


@pytest.mark.parametrize("version", ["", "0", "-1", "x", "999999999999999999999"])
def test_form_of_another_version_does_nothing_and_says_why(
    browser: Client, reviewer: User, version: str
) -> None:
    case = people.in_review(reviewer)
    before = everything()
    response = act(browser, case, "approve", version=version)
    assert response.status_code == 303
    assert said(response) == [
        "Nothing was changed, because the case has changed since you opened it. It is now “in review”."
    ]
    assert everything() == before


def test_person_who_hands_in_something_else_is_not_approved_by_the_old_form(
    browser: Client, reviewer: User
) -> None:
    person = people.make_person()
    seen = people.in_review(reviewer, person)
    cases.withdraw(person=person, public_id=seen.public_id)
    people.submitted(person)
    cases.claim(case_id=seen.pk, reviewer=reviewer)
    act(browser, seen, "approve")
    seen.refresh_from_db()
    assert seen.state == "in_review"


@pytest.mark.parametrize("role", ["viewer", "responder", "finance", "approver"])
def test_who_may_not_review_is_refused_every_step(role: str, reviewer: User) -> None:
    waiting, mine = people.submitted(), people.in_review(reviewer)
    browser = signed_in(people.make_operator(role))
    before = everything()
    for case in (waiting, mine):
        for event in ("claim", "release", "approve", "reject", "ask_for_more"):
            assert act(browser, case, event, **WHY).status_code == 403
        assert browser.post(f"{CASES}{case.pk}/number/").status_code == 403
    assert browser.post(f"{CASES}next/").status_code == 403
    assert everything() == before


@pytest.mark.parametrize(
    ("role", "status"),
    [("kyc reviewer", 200), ("approver", 200), ("viewer", 403), ("responder", 403), ("finance", 403)],
)
def test_who_may_see_cases(role: str, status: int) -> None:
    case = people.submitted()
    browser = signed_in(people.make_operator(role))
    assert browser.get(CASES).status_code == status
    assert page(browser, case).status_code == status
    assert browser.post(f"{CASES}find/", {"term": ""}).status_code == (303 if status == 200 else 403)


def test_reviewer_may_not_revoke_and_approver_sees_no_image_and_no_number(reviewer: User) -> None:
    case = people.approved(reviewer)
    before = everything()
    assert act(signed_in(reviewer), case, "revoke", **WHY).status_code == 403
    assert everything() == before
    response = page(signed_in(people.make_approver()), case)
    assert "images" not in response.context
    assert "looks" not in response.context
    html = response.content.decode()
    assert "/kyc/documents/" not in html
    assert "show it" not in html


@pytest.mark.parametrize("event", [*actions.ACTIONS, "number"])
def test_steps_are_posted_with_a_token_or_refused(reviewer: User, event: str) -> None:
    case = people.in_review(reviewer)
    before = everything()
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(reviewer)
    address = f"{CASES}{case.pk}/{event}/"
    assert strict.post(address, {"version": case.version, **WHY}).status_code == 403
    assert strict.get(address).status_code == 405
    assert strict.get(f"{CASES}next/").status_code == 405
    assert everything() == before


def test_case_that_does_not_exist_is_not_found(browser: Client) -> None:
    for key in ("999999", "0", "x", "9" * 30):
        assert browser.get(f"{CASES}{key}/change/").status_code in (302, 404)
    assert browser.post(f"{CASES}999999/number/").status_code == 404
    assert browser.post(f"{CASES}999999/claim/", {"version": "0"}).status_code == 303


# --- What is shown ---


def test_claim_and_profile_stand_side_by_side(browser: Client) -> None:
    person = people.make_person("ada-abara")
    person.country = "GH"
    person.phone_number = "+2348012345678"
    person.save()
    case = people.submitted(person, number="A12345678")
    text = text_of(browser, case)
    assert "•••••••678" in text
    assert "A12345678" not in text
    assert "Nigeria (NG) account: Ghana (GH)" in text
    assert "Ada-Abara must match the document" in text
    assert "+2348012345678" in text


def test_url_and_title_contain_no_name(browser: Client) -> None:
    case = people.submitted(people.make_person("hidden-person"), number="A12345678")
    html = page(browser, case).content.decode()
    title = html[html.index("<title>") : html.index("</title>")]
    assert f"Case {case.pk}" in title
    assert "hidden" not in title.lower()


def test_duplicates_by_number_and_by_image_are_listed_with_why(browser: Client) -> None:
    same_pictures = people.submitted(number="A11111111")
    both = people.submitted(number="A22222222")
    case = people.submitted(number="A22222222")
    found = page(browser, case).context["duplicates"]
    assert found == [(both, "same number, same image"), (same_pictures, "same image")]


def test_a_note_on_an_approval_excuses_no_duplicate_that_came_after_the_page(
    browser: Client, reviewer: User
) -> None:
    case = people.in_review(reviewer, number="A22222222")
    assert b"saw_duplicate" not in page(browser, case).content
    people.submitted(number="A22222222")
    before = everything()
    response = act(browser, case, "approve", reason="Looks fine.")
    assert said(response) == [str(DuplicateNumber())]
    assert everything() == before
    assert b'name="saw_duplicate" value="yes"' in page(browser, case).content
    act(browser, case, "approve", reason="The other one is a thief.", saw_duplicate="yes")
    case.refresh_from_db()
    assert (case.state, case.reason) == ("approved", "The other one is a thief.")


def test_checks_earlier_cases_and_reasons_are_shown(browser: Client, reviewer: User) -> None:
    person = people.make_person()
    old = people.rejected(reviewer, person)
    case = people.submitted(person)
    Check.objects.create(
        case=case, provider="smile_id", reference="1", state="done", result="unclear", result_text="Face 0.61"
    )
    text = text_of(browser, case)
    assert "Smile ID" in text
    assert "Is not sure Face 0.61" in text
    assert f"Case {old.pk} passport Rejected" in text
    assert "An image can't be read. The number can't be read." in text_of(browser, old)


def test_images_are_open_only_for_the_reviewer_who_claimed(browser: Client, reviewer: User) -> None:
    mine, other = people.in_review(reviewer), people.submitted()
    assert "kyc-closed" not in page(browser, mine).content.decode()
    html = page(browser, other).content.decode()
    assert '<details class="kyc-closed">' in html
    assert html.count('loading="lazy"') == 2  # a browser does not load them while they are closed
    assert DocumentAccess.objects.count() == 0


def test_full_number_is_shown_after_the_access_is_recorded(browser: Client, reviewer: User) -> None:
    case = people.submitted(number="A12345678")
    response = browser.post(f"{CASES}{case.pk}/number/", headers={"X-Requested-With": "fetch"})
    assert response.content == b"A12345678"
    assert response["Content-Type"] == "text/plain"
    assert "no-store" in response["Cache-Control"]
    access = NumberAccess.objects.get()
    assert (access.case, access.actor) == (case, reviewer)
    assert access.request_id == response["X-Request-ID"]
    without_script = browser.post(f"{CASES}{case.pk}/number/")
    assert "no-store" in without_script["Cache-Control"]
    assert "A12345678" in without_script.content.decode()
    assert "rita@example.com number · now" in text_of(browser, case)


def test_number_that_cannot_be_decrypted_is_said_and_not_shown(
    browser: Client, settings: Any, reviewer: User
) -> None:
    case = people.submitted()
    Case.objects.filter(pk=case.pk).update(number_encrypted=b"nonsense")
    response: Any = browser.post(f"{CASES}{case.pk}/number/")
    assert (response.status_code, response.url) == (303, f"{CASES}{case.pk}/change/")
    assert "encrypted with a key that Amani no longer has" in said(response)[0]
    assert NumberAccess.objects.count() == 0


def test_access_rows_are_never_changed(reviewer: User) -> None:
    access = NumberAccess.objects.create(case=people.submitted(), actor=reviewer)
    with pytest.raises(ProgrammingError, match="Cannot update or delete"):
        NumberAccess.objects.filter(pk=access.pk).update(at=timezone.now())


def test_hostile_words_are_text(browser: Client, reviewer: User) -> None:
    attack = "<script>alert(1)</script>"
    person = people.make_person()
    person.full_name = attack
    person.save()
    case = people.in_review(reviewer, person)
    act(browser, case, "reject", reason_code="other", reason=f"\0{attack}\0")
    assert attack not in page(browser, case).content.decode()
    assert CaseEvent.objects.latest("id").reason == attack


def test_neighbours_lead_through_the_queue(browser: Client, reviewer: User) -> None:
    first, second, third = (people.submitted() for _ in range(3))
    context = page(browser, second).context
    assert (context["previous_case"], context["next_case"]) == (first.pk, third.pk)
    Case.objects.update(submitted_at=timezone.now())  # the same moment: the id decides
    context = page(browser, second).context
    assert (context["previous_case"], context["next_case"]) == (first.pk, third.pk)
    context = page(browser, people.approved(reviewer)).context
    assert (context["previous_case"], context["next_case"]) == (third.pk, None)


def test_long_history_costs_no_more_queries(browser: Client, reviewer: User) -> None:
    case = people.in_review(reviewer)
    page(browser, case)  # content types are cached from here on

    def count() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert page(browser, case).status_code == 200
        return len(queries)

    few = count()
    CaseEvent.objects.bulk_create(
        CaseEvent(case=case, event="claim", to_state="in_review", actor=reviewer) for _ in range(1_000)
    )
    document = case.documents.all()[0]
    DocumentAccess.objects.bulk_create(DocumentAccess(document=document, actor=reviewer) for _ in range(500))
    for _ in range(12):
        people.submitted(people.make_person())
    assert count() == few <= 24


# --- Races ---


@pytest.mark.django_db(transaction=True)
def test_of_two_forms_of_one_version_one_counts() -> None:
    case = people.submitted()
    reviewers = [people.make_reviewer(), people.make_reviewer()]
    barrier = threading.Barrier(2)
    refused: list[KycError] = []

    def press(reviewer: User) -> None:
        barrier.wait()
        try:
            actions.decide(event=Event.CLAIM, case_id=case.pk, actor=reviewer, version=str(case.version))
        except KycError as problem:
            refused.append(problem)
        finally:
            connection.close()

    threads = [threading.Thread(target=press, args=(reviewer,)) for reviewer in reviewers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [type(problem) for problem in refused] == [CaseChanged]
    case.refresh_from_db()
    assert (case.state, case.version) == ("in_review", 2)
    assert CaseEvent.objects.filter(event="claim").count() == 1


@pytest.mark.django_db(transaction=True)
def test_four_reviewers_who_press_the_button_together_get_four_cases() -> None:
    for _ in range(5):
        people.submitted()
    reviewers = [people.make_reviewer() for _ in range(4)]
    barrier = threading.Barrier(4)
    got: list[int] = []

    def press(reviewer: User) -> None:
        barrier.wait()
        case = review_next(reviewer=reviewer)
        got.append(case.pk if case else 0)
        connection.close()

    threads = [threading.Thread(target=press, args=(reviewer,)) for reviewer in reviewers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == sorted(Case.objects.order_by("submitted_at").values_list("pk", flat=True)[:4])
