"""Tests that images and numbers are erased after their retention time, also after failures."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pgtrigger
import pytest
from django.db import transaction
from django.utils import timezone

from kyc import cases, documents
from kyc.documents import retention, storage
from kyc.documents.errors import StorageUnavailable
from kyc.documents.retention import delete_due
from kyc.documents.sweep import sweep_orphans
from kyc.documents.tests.test_files import a_case, attached, files_in
from kyc.models import Case, CaseEvent, Document, Side, State
from kyc.tasks import delete_due_documents, sweep_document_files
from kyc.tests.people import (
    approved,
    case_in,
    make_approver,
    make_person,
    make_reviewer,
    picture,
    submission,
    submitted,
)

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def commits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests run in a transaction that never commits; files go at once instead."""
    monkeypatch.setattr(transaction, "on_commit", lambda work, robust=False: work())


def made_older(case: Case, days: int) -> None:
    """As if everything had happened `days` earlier."""
    earlier = timedelta(days=days)
    for event in case.events.all():
        with pgtrigger.ignore("kyc.CaseEvent:case_event_is_append_only"):
            CaseEvent.objects.filter(pk=event.pk).update(at=event.at - earlier)
    case.refresh_from_db()
    Case.objects.filter(pk=case.pk).update(
        submitted_at=case.submitted_at and case.submitted_at - earlier,
        decided_at=case.decided_at and case.decided_at - earlier,
    )


def in_state(state: State) -> Case:
    return case_in(state, person=make_person(), reviewer=make_reviewer(), approver=make_approver())


def everything(case: Case) -> Any:
    return Case.objects.filter(pk=case.pk).values().get(), list(case.documents.values())


@pytest.mark.parametrize(
    ("state", "days"),
    [(State.REJECTED, 90), (State.DRAFT, 90), (State.EXPIRED, 5 * 365), (State.REVOKED, 5 * 365)],
)
def test_images_and_numbers_end_with_their_time_and_not_before(state: State, days: int, folder: Path) -> None:
    case = in_state(state)
    images = case.documents.count()
    made_older(case, days - 1)
    before = everything(case)

    assert delete_due() == 0
    assert everything(case) == before

    made_older(case, 2)
    assert delete_due() == 1
    case.refresh_from_db()
    assert (bytes(case.number_encrypted), case.number_last) == (b"", "")
    assert (
        case.documents.filter(deleted_at__isnull=False, file_deleted_at__isnull=False).count() == images > 0
    )
    assert files_in(folder) == []
    event = case.events.latest("id")
    assert (event.event, event.from_state, event.to_state) == ("erase", state, state)
    assert event.reason == "retention time over"
    assert delete_due() == 0


@pytest.mark.parametrize("state", [State.SUBMITTED, State.IN_REVIEW, State.APPROVED])
def test_what_waits_or_holds_is_never_erased(state: State) -> None:
    case = in_state(state)
    made_older(case, 20 * 365)
    before = everything(case)

    assert delete_due() == 0
    assert everything(case) == before


def test_the_hash_stays_where_it_has_to_find_a_second_account() -> None:
    kept = {
        state: case_in(state, person=make_person(), reviewer=make_reviewer(), approver=make_approver())
        for state in (State.EXPIRED, State.REVOKED, State.REJECTED, State.DRAFT)
    }
    for case in kept.values():
        made_older(case, 6 * 365)
    fraud = submitted()
    reviewer = make_reviewer()
    cases.claim(case_id=fraud.pk, reviewer=reviewer)
    cases.reject(case_id=fraud.pk, reviewer=reviewer, reason_code="suspected_fraud", reason="Forged.")
    made_older(fraud, 100)

    assert delete_due() == 5
    hashes = {state: Case.objects.get(pk=case.pk).number_hash for state, case in kept.items()}
    assert hashes[State.EXPIRED] == kept[State.EXPIRED].number_hash != ""
    assert hashes[State.REVOKED] == kept[State.REVOKED].number_hash != ""
    assert hashes[State.REJECTED] == hashes[State.DRAFT] == ""
    assert Case.objects.get(pk=fraud.pk).number_hash == fraud.number_hash != ""


def test_after_its_end_a_person_begins_anew(folder: Path) -> None:
    """A draft is continued with everything given again; a refused case is left and a new one opened."""
    for state in (State.DRAFT, State.REJECTED):
        case = in_state(state)
        made_older(case, 91)
        assert delete_due() == 1

        again = cases.submit(person=case.person, **submission())

        assert (again.pk == case.pk) == (state == State.DRAFT)
        assert (again.state, again.erased_at) == (State.SUBMITTED, None)
        assert again.documents.filter(deleted_at=None, replaced_at=None).count() == 2


def test_replaced_images_end_while_the_case_goes_on(folder: Path) -> None:
    case = in_state(State.REJECTED)
    cases.resubmit(person=case.person, public_id=case.public_id, images={Side.FRONT: picture("back")})
    old = case.documents.get(replaced_at__isnull=False)
    assert delete_due() == 0

    Document.objects.filter(pk=old.pk).update(replaced_at=timezone.now() - timedelta(days=91))

    assert delete_due() == 1
    assert case.documents.filter(deleted_at=None).count() == 2
    assert Document.objects.get(pk=old.pk).file_deleted_at is not None
    assert len(files_in(folder)) == 2


def test_a_case_that_moves_on_meanwhile_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    case = in_state(State.REJECTED)
    made_older(case, 91)
    due = retention.cases_to_erase

    def and_then_it_is_resubmitted(*args: Any) -> list[int]:
        found = due(*args)
        if case.pk in found:
            cases.resubmit(person=case.person, public_id=case.public_id, images={})
        return found

    monkeypatch.setattr(retention, "cases_to_erase", and_then_it_is_resubmitted)

    assert delete_due() == 0
    case.refresh_from_db()
    assert (case.state, case.erased_at) == (State.SUBMITTED, None)
    assert documents.read(case.documents.get(side=Side.FRONT))


def test_a_file_that_cannot_be_deleted_now_is_deleted_later(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = in_state(State.REJECTED)
    made_older(case, 91)
    delete = storage.delete

    def no_answer(name: str) -> None:
        raise StorageUnavailable

    monkeypatch.setattr(storage, "delete", no_answer)
    assert delete_due() == 1
    assert len(files_in(folder)) == 2
    assert not Document.objects.filter(file_deleted_at__isnull=False).exists()

    monkeypatch.setattr(storage, "delete", delete)
    assert sweep_orphans() == 2
    assert files_in(folder) == []
    assert Document.objects.filter(file_deleted_at__isnull=False).count() == 2


def test_the_sweep_takes_old_files_without_a_row_and_nothing_else(folder: Path) -> None:
    (row,) = attached(a_case())
    young, old, older = "2026/01/young", storage.new_name(), "2020/01/older.aaaaaaaa"
    for name in (young, old, older):
        storage.put(name, b"left behind")
    two_hours_ago = timezone.now().timestamp() - 7_200
    for name in (row.stored_as, old, older):
        os.utime(folder / name, (two_hours_ago, two_hours_ago))

    assert sweep_orphans() == 1  # this month and the last
    assert {str(file.relative_to(folder)) for file in files_in(folder)} == {row.stored_as, young, older}
    assert sweep_orphans(everything=True) == 1
    assert {str(file.relative_to(folder)) for file in files_in(folder)} == {row.stored_as, young}


def test_an_empty_storage_has_nothing_to_sweep(folder: Path) -> None:
    assert sweep_orphans(everything=True) == 0


def test_the_tasks_do_it() -> None:
    case = in_state(State.REJECTED)
    made_older(case, 91)

    delete_due_documents()
    sweep_document_files()

    assert Case.objects.get(pk=case.pk).erased_at is not None


def test_a_current_approval_keeps_its_images(folder: Path) -> None:
    case = approved(make_reviewer())
    made_older(case, 700)

    assert delete_due() == 0
    assert len(files_in(folder)) == 2
