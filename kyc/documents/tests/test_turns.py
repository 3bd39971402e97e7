"""Tests that a second submission is refused at once while images of another one are being rewritten."""

from __future__ import annotations

from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from accounts.models import User
from kyc import cases, metrics
from kyc.documents import Busy, turn
from kyc.documents.cleaning import clean
from kyc.documents.errors import FileRefused
from kyc.documents.turns import only_one_of
from kyc.errors import CaseOpen, NotAllowed
from kyc.files import process
from kyc.files.tests import made
from kyc.models import Case, Side
from kyc.tests.people import (
    make_person,
    make_reviewer,
    new_number,
    picture,
    pictures,
    rejected,
    submission,
    submitted,
)

CASES = "/api/v1/kyc/cases"
pytestmark = pytest.mark.django_db


def form() -> dict[str, Any]:
    files = {str(side): SimpleUploadedFile(f"{side}.jpg", picture(side), "image/jpeg") for side in pictures()}
    return {"document_type": "passport", "country": "NG", "number": new_number(), **files}


def test_a_submission_is_refused_at_once_and_without_loss_while_another_one_is_read() -> None:
    person = make_person()
    EmailAddress.objects.create(user=person, email=person.email, verified=True, primary=True)
    client = Client(headers={"X-CSRFToken": "this client does not check it"})
    client.force_login(person)
    before = metrics.kyc_submissions["busy"]._value.get()

    with turn(make_person().pk):
        refused = client.post(CASES, form())

    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
    assert refused.json()["code"] == "busy"
    assert not Case.objects.exists()
    assert metrics.kyc_submissions["busy"]._value.get() == before + 1
    assert client.post(CASES, form()).status_code == 201


def test_a_person_sends_one_submission_at_a_time_in_all_processes() -> None:
    person = make_person()
    with only_one_of(person.pk):  # as another process does it
        with pytest.raises(Busy):
            submitted(person)
        submitted(make_person())
    assert submitted(person).person == person


def test_an_image_that_this_machine_cannot_rewrite_in_time_is_no_fault_of_the_person(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(process, "TOTAL_SECONDS", 0.001)
    with pytest.raises(Busy):
        clean(content=made.png(7), side=Side.FRONT)


def test_a_refused_file_ends_the_turn() -> None:
    person = make_person()
    with pytest.raises(FileRefused):
        submitted(person, images=pictures() | {"front": b"%PDF-1.7 broken"})
    assert submitted(person).person == person


def test_what_is_bound_to_be_refused_is_refused_before_its_images_are_read() -> None:
    """While another submission is read, so that reading would raise Busy."""
    person, closed = make_person(), make_person()
    old = rejected(make_reviewer(), person)
    submitted(person)
    User.objects.filter(pk=closed.pk).update(is_active=False)
    closed.refresh_from_db()

    with turn(make_person().pk):
        with pytest.raises(CaseOpen):
            submitted(person)
        with pytest.raises(CaseOpen):
            cases.resubmit(person=person, public_id=old.public_id, images=pictures())
        with pytest.raises(NotAllowed):
            submitted(closed)


def test_a_submission_without_images_needs_no_turn() -> None:
    person = make_person()
    old = rejected(make_reviewer(), person)
    with turn(make_person().pk):
        assert cases.resubmit(person=person, public_id=old.public_id, images={}).state == "submitted"


def test_an_outage_of_redis_does_not_stop_submissions(settings: Any) -> None:
    gone = settings.CACHES["default"] | {"LOCATION": "redis://127.0.0.1:1/0"}
    settings.CACHES = {"default": gone}
    assert cases.submit(person=make_person(), **submission()).state == "submitted"
