"""Tests uploads: limits, no file on a disk, and the API's errors."""

from __future__ import annotations

import tempfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.core.files.uploadedfile import InMemoryUploadedFile, SimpleUploadedFile
from django.core.handlers.wsgi import WSGIRequest
from django.test import Client, RequestFactory
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart

from kyc import metrics
from kyc.documents import received
from kyc.documents.errors import FileTooLarge, WrongFileType
from kyc.documents.tests.test_files import files_in
from kyc.files.tests import made
from kyc.models import Case, Document, Side
from kyc.tests.people import make_person, new_number

CASES = "/api/v1/kyc/cases"


def upload(content: bytes, name: str = "front.jpg", declared: str = "image/jpeg") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content, declared)


def request_with(body: BytesIO, length: int) -> WSGIRequest:
    """As a server hands it over: the body waits to be read."""
    sent = {"REQUEST_METHOD": "POST", "CONTENT_TYPE": MULTIPART_CONTENT, "CONTENT_LENGTH": str(length)}
    return RequestFactory().request(**sent, **{"wsgi.input": body})


def test_a_file_beyond_the_limit_is_read_no_further(settings: Any) -> None:
    settings.KYC_MAX_FILE_BYTES = 2**20
    content = encode_multipart(BOUNDARY, {"front": upload(bytes(20 * 2**20))})
    body = BytesIO(content)

    with pytest.raises(FileTooLarge, match="larger than 1 MB") as caught:
        request_with(body, len(content)).FILES  # noqa: B018

    assert caught.value.fields == {"front": ["It is larger than 1 MB. Send a smaller one."]}
    assert body.tell() < 2 * 2**20


def test_files_stay_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_file(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("a temporary file was made")

    monkeypatch.setattr(tempfile, "NamedTemporaryFile", no_file)
    monkeypatch.setattr(tempfile, "TemporaryFile", no_file)
    content = made.jpeg() + bytes(6 * 2**20)
    body = encode_multipart(BOUNDARY, {"front": upload(content), "number": "A1"})

    request = request_with(BytesIO(body), len(body))

    file = request.FILES["front"]
    assert isinstance(file, InMemoryUploadedFile)
    assert (file.read(), file.content_type) == (content, "image/jpeg")
    assert request.POST["number"] == "A1"


@pytest.mark.parametrize(
    ("name", "declared"),
    [("front.png", "image/jpeg"), ("front.jpg", "application/pdf"), ("front.html", "text/html")],
)
def test_a_label_that_contradicts_the_content_is_refused_and_counted(name: str, declared: str) -> None:
    before = metrics.files_refused["wrong_type"]._value.get()

    with pytest.raises(WrongFileType, match="This file is a JPEG") as caught:
        received(upload=upload(made.jpeg(), name, declared), side=Side.BACK)

    assert set(caught.value.fields) == {"back"}
    assert metrics.files_refused["wrong_type"]._value.get() == before + 1


# --- Through the API, to the folder ---


@pytest.fixture
def send(settings: Any) -> Any:
    client = Client()
    person = make_person()
    EmailAddress.objects.create(user=person, email=person.email, verified=True, primary=True)
    client.force_login(person)

    def send(**files: SimpleUploadedFile) -> Any:
        data = {"document_type": "passport", "country": "NG", "number": new_number(), **files}
        token = {"X-Session-Token": str(client.session.session_key)}
        return Client().post(CASES, data, headers=token)

    return send


REFUSED = {
    "too large": (made.jpeg() + bytes(9 * 2**20), 413, "file_too_large"),
    "a GIF": (b"GIF89a" + bytes(100), 415, "wrong_file_type"),
    "a web page": (b"<html><script>alert(1)</script></html>", 415, "wrong_file_type"),
    "empty": (b"", 422, "file_empty"),
    "cut off": (made.jpeg()[:3_000], 422, "file_unreadable"),
    "a bomb": (
        made.png_header(60_000, 60_000) + made.chunk(b"IDAT", b"") + made.chunk(b"IEND", b""),
        422,
        "file_too_complex",
    ),
    "a script besides": (made.pdf() + b"<script>alert(1)</script>", 422, "file_has_active_content"),
    "a PDF that acts": (
        made.one_page(catalog=b"/OpenAction << /S /JavaScript /JS (app.alert\\(1\\)) >>"),
        422,
        "file_has_active_content",
    ),
    "too small to read": (made.png_header(9, 9), 422, "file_unreadable"),
}


@pytest.mark.django_db
@pytest.mark.parametrize(("content", "status", "code"), REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("side", ["front", "selfie"])
def test_a_bad_file_is_a_clear_4xx_and_nothing_is_half_stored(
    send: Any, folder: Path, content: bytes, status: int, code: str, side: str
) -> None:
    good = {"front": upload(made.jpeg()), "selfie": upload(made.jpeg())}
    bad = SimpleUploadedFile("scan", content, "application/octet-stream")

    response = send(**{**good, side: bad})

    assert (response.status_code, response.json()["code"]) == (status, code)
    assert response.headers["Content-Type"] == "application/problem+json"
    assert set(response.json()["fields"]) == {side}
    assert not Case.objects.exists()
    assert not Document.objects.exists()
    assert files_in(folder) == []


@pytest.mark.django_db
def test_good_files_are_a_case_and_nothing_of_their_metadata_is_kept(send: Any, folder: Path) -> None:
    response = send(front=upload(made.pdf(), "scan.pdf", "application/pdf"), selfie=upload(made.jpeg()))

    assert response.status_code == 201
    assert {image["content_type"] for image in response.json()["images"]} == {"application/pdf", "image/jpeg"}
    assert len(files_in(folder)) == 2
    assert all(made.SECRET not in file.read_bytes() for file in files_in(folder))


@pytest.mark.django_db
def test_a_storage_that_cannot_be_written_is_a_503_and_nothing_is_half_stored(
    send: Any, folder: Path
) -> None:
    folder.parent.mkdir(exist_ok=True)
    folder.write_text("a file where the folder belongs")

    response = send(front=upload(made.jpeg()), selfie=upload(made.jpeg()))

    assert (response.status_code, response.json()["code"]) == (503, "storage_unavailable")
    assert not Case.objects.exists()
