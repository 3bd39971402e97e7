"""Tests the review queue on the start page and in the sidebar."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import User
from kyc import cases, metrics
from kyc.admin import filters, overview
from kyc.badges import event_badge
from kyc.models import Case, CaseEvent, State
from kyc.tests import people

pytestmark = pytest.mark.django_db


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def start(role: str) -> Any:
    return signed_in(people.make_operator(role)).get("/admin/")


def waits_since(case: Case, hours: float) -> Case:
    Case.objects.filter(pk=case.pk).update(submitted_at=timezone.now() - timedelta(hours=hours))
    return case


def sidebar(response: Any) -> dict[str, str]:
    """Title and badge of each page of the group KYC."""
    groups = response.context["sidebar_navigation"]
    pages = [page for group in groups if group.get("title") == "KYC" for page in group["items"]]
    return {page["title"]: page.get("badge", "") for page in pages}


def test_numbers_of_the_queue() -> None:
    reviewer, approver = people.make_reviewer(), people.make_approver()
    late = waits_since(people.submitted(), 25)
    mine = waits_since(people.in_review(reviewer), 24.5)
    people.submitted()
    people.approved(reviewer)
    people.rejected(reviewer)
    revoked = people.case_in(State.REVOKED, person=people.make_person(), reviewer=reviewer, approver=approver)
    CaseEvent.objects.bulk_create(
        [CaseEvent(case=revoked, event="approve", at=timezone.now() - timedelta(days=1), to_state="approved")]
    )
    found = overview.overview()
    assert {name: found[name] for name in ("kyc_waiting", "kyc_in_review", "kyc_late", "kyc_decided")} == {
        "kyc_waiting": "2",
        "kyc_in_review": "1",
        "kyc_late": "2",
        "kyc_decided": 4,
    }
    assert found["kyc_decided_as"] == [("approved", 2), ("rejected", 1), ("revoked", 1)]
    assert [case for case, _due in found["kyc_oldest"]][:2] == [late, mine]


def test_the_start_page_counts_what_the_metric_counts_except_expired_approvals() -> None:
    words = {event_badge(event)[2].lower().replace(" ", "_") for event in overview.DECISIONS}
    assert words | {"expired"} == set(metrics.DECISIONS)


def test_a_doubted_approval_is_shown_until_it_is_decided() -> None:
    case = people.doubted(people.make_reviewer())
    for role in ("kyc reviewer", "approver"):
        assert f"/admin/kyc/case/?state={filters.DOUBTED}" in start(role).content.decode(), role
    cases.uphold(case_id=case.pk, actor=people.make_approver(), reason="Seen.")
    assert filters.DOUBTED not in start("approver").content.decode()


def test_counts_stop_at_a_thousand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overview, "COUNT_AT_MOST", 2)
    for _ in range(3):
        people.submitted()
    assert overview.overview()["kyc_waiting"] == "2+"
    assert sidebar(start("kyc reviewer"))["Cases"] == "2+"


def test_reviewer_who_sees_no_alerts_starts_with_the_queue() -> None:
    case = waits_since(people.submitted(people.make_person("hidden-person")), 30)
    html = start("kyc reviewer").content.decode()
    assert "Oldest waiting cases" in html
    assert f"/admin/kyc/case/{case.pk}/change/" in html
    assert "6 h over target" in html
    assert "Firing now" not in html
    assert "hidden-person" not in html


@pytest.mark.parametrize(
    ("role", "alerts", "queue", "pages"),
    [
        ("viewer", True, False, False),
        ("responder", True, False, False),
        ("kyc reviewer", False, True, True),
        ("finance", True, False, False),
        ("approver", True, True, True),
    ],
)
def test_each_role_starts_with_what_it_may_see(role: str, alerts: bool, queue: bool, pages: bool) -> None:
    people.submitted()
    response = start(role)
    html = response.content.decode()
    assert ("Firing now" in html, 'id="kyc"' in html) == (alerts, queue)
    assert ("Cases" in sidebar(response)) is pages


def test_sidebar_says_how_many_wait_and_nothing_when_none_does() -> None:
    assert sidebar(start("kyc reviewer"))["Cases"] == ""
    people.submitted()
    people.in_review(people.make_reviewer())
    assert sidebar(start("kyc reviewer"))["Cases"] == "2"


def test_queue_that_is_empty_is_good_news() -> None:
    assert b"No case is waiting." in start("kyc reviewer").content
