"""Tests who can see an image, and that the access is recorded first."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import User
from kyc import documents, metrics
from kyc.documents import views
from kyc.documents.tests.test_files import files_in
from kyc.files.tests import made
from kyc.models import Document, DocumentAccess, Side
from kyc.tests.people import make_operator, make_person, make_reviewer, submitted

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def without_second_factor(settings: Any) -> None:
    settings.STAFF_MFA_REQUIRED = False


@pytest.fixture
def front() -> Document:
    return submitted().documents.get(side=Side.FRONT)


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def address(row: Document) -> str:
    return reverse("kyc-document", args=[row.public_id])


def views_counted() -> float:
    return float(metrics.document_views._value.get())


def test_a_reviewer_sees_the_image_after_a_row_says_so(front: Document) -> None:
    reviewer = make_reviewer()
    before = views_counted()

    response = signed_in(reviewer).get(address(front), headers={"X-Request-ID": "request-0123456789"})

    assert response.status_code == 200
    assert response.content == documents.read(front)
    access = DocumentAccess.objects.get()
    assert (access.document, access.actor, access.request_id) == (front, reviewer, "request-0123456789")
    assert views_counted() == before + 1


def test_no_browser_or_proxy_keeps_it_runs_it_or_names_the_person(front: Document) -> None:
    response = signed_in(make_reviewer()).get(address(front))

    headers = response.headers
    assert {"no-store", "private"} <= set(headers["Cache-Control"].split(", "))
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Type"] == "image/jpeg"
    assert headers["Content-Security-Policy"] == views.IMAGE_POLICY
    assert "default-src 'none'" in views.IMAGE_POLICY
    assert "sandbox" in views.IMAGE_POLICY
    assert headers["Content-Disposition"] == f'inline; filename="front-{front.public_id.hex[:8]}.jpg"'
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Referrer-Policy"] == "no-referrer"


def test_a_pdf_is_shown_as_a_pdf() -> None:
    front = submitted(images={Side.FRONT: made.pdf(), Side.SELFIE: made.jpeg()}).documents.get(
        side=Side.FRONT
    )

    response = signed_in(make_reviewer()).get(address(front))

    assert response.headers["Content-Type"] == "application/pdf"
    assert response.headers["Content-Security-Policy"] == views.PDF_POLICY
    assert response.content.startswith(b"%PDF-")


@pytest.mark.parametrize("method", ["head", "post", "put", "delete", "options"])
def test_other_methods_show_nothing(front: Document, method: str) -> None:
    response = getattr(signed_in(make_reviewer()), method)(address(front))

    assert response.status_code == 405
    assert "Content-Disposition" not in response.headers
    assert not DocumentAccess.objects.exists()


@pytest.mark.parametrize("role", ["viewer", "responder", "finance", "approver"])
def test_other_operators_may_not(front: Document, role: str) -> None:
    client = signed_in(make_operator(role))

    assert client.get(address(front)).status_code == 403
    assert client.get(reverse("kyc-document", args=[uuid4()])).status_code == 403  # and learn nothing
    assert not DocumentAccess.objects.exists()


def test_other_users_are_refused(front: Document) -> None:
    for client in (Client(), signed_in(front.case.person), signed_in(make_person())):
        response = client.get(address(front))
        assert response.status_code == 302
        assert response.headers["Location"].startswith("/admin/login/")
    assert not DocumentAccess.objects.exists()


def test_a_reviewer_without_the_second_factor_sees_nothing(front: Document, settings: Any) -> None:
    settings.STAFF_MFA_REQUIRED = True

    assert signed_in(make_reviewer()).get(address(front)).status_code == 302
    assert not DocumentAccess.objects.exists()


def test_a_session_token_of_the_api_opens_nothing(front: Document) -> None:
    client = signed_in(make_reviewer())
    token = {"X-Session-Token": str(client.session.session_key)}

    assert Client().get(address(front), headers=token).status_code == 302


def test_own_document_cannot_be_viewed() -> None:
    reviewer = make_reviewer()
    own = submitted(reviewer).documents.get(side=Side.FRONT)
    root = User.objects.create_superuser("root@example.com")
    own_of_root = submitted(root).documents.get(side=Side.FRONT)

    assert signed_in(reviewer).get(address(own)).status_code == 403
    assert signed_in(root).get(address(own_of_root)).status_code == 403
    assert signed_in(root).get(address(own)).status_code == 200
    assert DocumentAccess.objects.count() == 1


def test_unknown_and_deleted_documents_do_not_exist(
    front: Document, django_capture_on_commit_callbacks: Any
) -> None:
    client = signed_in(make_reviewer())
    with django_capture_on_commit_callbacks(execute=True):
        documents.delete_files_of(front.case)

    assert client.get(address(front)).status_code == 404
    assert client.get(reverse("kyc-document", args=[uuid4()])).status_code == 404
    assert client.get("/kyc/documents/../../etc/passwd").status_code == 404
    assert not DocumentAccess.objects.exists()


@pytest.mark.parametrize("reason", ["cannot_decrypt", "file_damaged"])
def test_a_file_that_cannot_be_shown_is_said_so_without_a_traceback(
    front: Document, folder: Path, settings: Any, reason: str
) -> None:
    client = signed_in(make_reviewer())
    before = metrics.document_failures[reason]._value.get()
    shown_before = views_counted()
    if reason == "cannot_decrypt":
        settings.ENCRYPTION_KEYS = ["A" * 43 + "="]
    else:
        for file in files_in(folder):
            file.write_bytes(b"other")

    response = client.get(address(front))

    assert response.status_code == 503
    assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert "no-store" in response.headers["Cache-Control"]
    assert b"Traceback" not in response.content
    assert metrics.document_failures[reason]._value.get() == before + 1
    assert views_counted() == shown_before
    assert DocumentAccess.objects.count() == 1  # they tried


@pytest.mark.django_db(transaction=True)
def test_no_row_no_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """The row is committed before the file is opened; if it can't be, nothing is read."""
    front = submitted().documents.get(side=Side.FRONT)
    client = signed_in(make_reviewer())
    read_after: list[int] = []

    def read_and_remember(row: Document) -> bytes:
        read_after.append(DocumentAccess.objects.count())
        return documents.read(row)

    monkeypatch.setattr(views, "read", read_and_remember)

    assert client.get(address(front)).status_code == 200
    assert read_after == [1]

    def disk_is_full(*args: Any, **kwargs: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(DocumentAccess.objects, "create", disk_is_full)
    with pytest.raises(OSError, match="No space"):
        client.get(address(front))
    assert read_after == [1]
