"""Tests the export and the erasure of a person's KYC data."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from django.core.serializers.json import DjangoJSONEncoder
from django.db import transaction

from accounts import erasure, export
from accounts.erasure import erase_account
from kyc import cases, documents
from kyc.cases.access import show_number
from kyc.documents.tests.test_files import files_in
from kyc.erasure import KEPT, collect
from kyc.limits import use
from kyc.limits.tests.amounts import CURRENCY, limit
from kyc.models import Case, Check, LimitKind, State
from kyc.tests.people import (
    approved,
    case_in,
    make_approver,
    make_person,
    make_reviewer,
    rejected,
    submitted,
)

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def commits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests run in a transaction that never commits; files go at once instead."""
    monkeypatch.setattr(transaction, "on_commit", lambda work, robust=False: work())


def everything(case: Case) -> Any:
    return (
        Case.objects.filter(pk=case.pk).values().get(),
        list(case.documents.values()),
        list(case.events.values()),
        [event.reason for event in case.events.all()],
    )


def test_kyc_registers_its_erasure_and_export() -> None:
    assert erasure.hooks_by_app["kyc"].erase is not None
    assert "kyc" in export.collectors


@pytest.mark.parametrize("state", [state for state in State if state not in KEPT])
def test_what_was_never_approved_goes_at_once(state: State, folder: Path) -> None:
    person = make_person()
    case = case_in(state, person=person, reviewer=make_reviewer(), approver=make_approver())

    erase_account(user_id=person.pk)

    case.refresh_from_db()
    assert case.state == (State.REJECTED if state == State.REJECTED else State.DRAFT)
    assert (bytes(case.number_encrypted), case.number_last, case.number_hash) == (b"", "", "")
    assert (case.claimed_by, case.claimed_until) == (None, None)
    assert files_in(folder) == []
    assert case.documents.filter(file_deleted_at=None).count() == 0
    event = case.events.latest("id")
    assert (event.event, event.reason) == ("erase", "the account was erased")


@pytest.mark.parametrize("state", KEPT)
def test_what_was_approved_stays_for_its_time(state: State, folder: Path) -> None:
    person = make_person()
    case = case_in(state, person=person, reviewer=make_reviewer(), approver=make_approver())
    before = everything(case)
    before[0]["reason"] = ""  # it was for the person

    erase_account(user_id=person.pk)

    assert everything(case) == before
    assert len(files_in(folder)) == 2


def test_a_check_that_runs_is_cancelled(settings: Any) -> None:
    settings.KYC_PROVIDER = "smile_id"
    person = make_person()
    case = submitted(person)
    assert Check.objects.get(case=case).state == Check.State.PENDING

    erase_account(user_id=person.pk)

    assert Check.objects.get(case=case).state == Check.State.CANCELLED


def test_a_document_used_for_fraud_is_recognised_after_its_person_left() -> None:
    person, reviewer = make_person(), make_reviewer()
    case = submitted(person)
    cases.claim(case_id=case.pk, reviewer=reviewer)
    cases.reject(case_id=case.pk, reviewer=reviewer, reason_code="suspected_fraud", reason="Forged.")

    erase_account(user_id=person.pk)

    erased = Case.objects.get(pk=case.pk)
    assert (bytes(erased.number_encrypted), erased.number_last) == (b"", "")
    assert erased.number_hash == case.number_hash != ""


def test_other_people_s_cases_stay(folder: Path) -> None:
    other = submitted()
    before = everything(other)
    person = make_person()
    submitted(person)

    erase_account(user_id=person.pk)

    assert everything(other) == before
    assert documents.read(other.documents.all()[0])
    assert len(files_in(folder)) == 2


def test_the_export_tells_what_happened_but_neither_who_decided_nor_the_whole_number() -> None:
    person, reviewer = make_person(), make_reviewer("chidi")
    case = rejected(reviewer, person, number="A12345678")

    export = collect(person)

    text = json.dumps(export, cls=DjangoJSONEncoder)
    assert "A12345678" not in text
    assert "chidi" not in text
    assert case.number_hash not in text
    (only,) = export["cases"]
    assert (only["id"], only["number"], only["state"]) == (str(case.public_id), "•••••••678", "rejected")
    assert (only["reason_code"], only["reason"]) == ("unreadable", "The number can't be read.")
    assert [event["event"] for event in only["events"]] == ["submit", "claim", "reject"]
    assert {image["side"] for image in only["documents"]} == {"front", "selfie"}
    assert all("stored_as" not in image for image in only["documents"])
    assert "The law requires" in export["kept"]


def test_note_on_an_approval_is_not_shown_to_the_account_holder() -> None:
    person, reviewer = make_person(), make_reviewer()
    case = submitted(person)
    cases.claim(case_id=case.pk, reviewer=reviewer)
    cases.approve(case_id=case.pk, reviewer=reviewer, reason="Compared with the twin's account.")

    assert "twin" not in json.dumps(collect(person), cls=DjangoJSONEncoder)


def test_a_doubt_is_not_shown_to_the_account_holder() -> None:
    person = make_person()
    case = approved(make_reviewer(), person)
    export = collect(person)
    cases.doubt_by_provider(case_id=case.pk, provider="manual", reason="Reported stolen.")
    assert collect(person) == export
    cases.uphold(case_id=case.pk, actor=make_approver(), reason="It was not.")
    assert collect(person) == export


def test_the_export_tells_how_often_operators_saw_the_whole_number() -> None:
    person, reviewer = make_person(), make_reviewer("chidi")
    seen, unseen = rejected(reviewer, person, number="A12345678"), submitted(person)
    for _ in range(2):
        assert show_number(case_id=seen.pk, actor=reviewer) == "A12345678"

    export = collect(person)

    views = {case["id"]: case["number_views"] for case in export["cases"]}
    assert views == {str(seen.public_id): 2, str(unseen.public_id): 0}
    assert "chidi" not in json.dumps(export, cls=DjangoJSONEncoder)


def test_the_export_tells_what_was_used_of_limits() -> None:
    at = datetime(2026, 3, 14, 9, tzinfo=UTC)
    limit(20_000, since=at)
    person, other = make_person(), make_person()
    for who, amount, kind in (
        (person, 500, LimitKind.DAILY),
        (person, 700, LimitKind.BALANCE),
        (other, 900, LimitKind.DAILY),
    ):
        with transaction.atomic():
            use(person_id=who.pk, currency=CURRENCY, amount_minor=amount, kinds=[kind], at=at)

    export = collect(person)["limits_used"]

    one = {"currency": CURRENCY, "limit_minor": 20_000}
    assert export == [
        one | {"limit_for": "daily", "since": date(2026, 3, 14), "used_minor": 500},
        one | {"limit_for": "balance", "since": None, "used_minor": 700},
    ]


def test_the_export_asks_the_same_number_of_queries_for_any_number_of_cases(
    django_assert_num_queries: Any,
) -> None:
    person, reviewer = make_person(), make_reviewer()
    for _ in range(3):
        rejected(reviewer, person)

    with django_assert_num_queries(5):
        assert len(collect(person)["cases"]) == 3
