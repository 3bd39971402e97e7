"""Tests the error pages: what happened, what to do, and the request id."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core.exceptions import BadRequest, PermissionDenied, RequestDataTooBig
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import OperationalError
from django.http import Http404
from django.test import Client, RequestFactory

from amani import error_pages
from kyc.tests.people import make_operator

WAY_BACK = '<a href="/admin/">Go to the start page</a>'


def fail(error: Exception) -> None:
    raise error


def failing_with(error: Exception) -> Any:
    try:
        fail(error)
    except type(error):
        return error_pages.failure(RequestFactory().get("/admin/"))


# No mark for the database: none of these may ask it for anything, because it may be what is broken.
@pytest.mark.parametrize(
    ("answer", "status", "title"),
    [
        (lambda to: error_pages.bad_request(to, BadRequest("secret")), 400, "Malformed request"),
        (
            lambda to: error_pages.bad_request(to, RequestDataTooBig("secret")),
            413,
            "Request too large",
        ),
        (lambda to: error_pages.forbidden(to, PermissionDenied("secret")), 403, "Not allowed"),
        (lambda to: error_pages.csrf_failure(to, "secret"), 403, "This form has expired"),
        (lambda to: error_pages.not_found(to, Http404("secret")), 404, "Page not found"),
        (lambda to: failing_with(ValueError("secret")), 500, "Internal error"),
        (lambda to: failing_with(OperationalError("secret")), 503, "Temporarily unavailable"),
    ],
)
def test_a_page_says_what_happened_and_shows_the_way_back(
    answer: Callable[[Any], Any], status: int, title: str, settings: Any
) -> None:
    settings.DEBUG = False
    response = answer(RequestFactory().get("/admin/"))
    html = response.content.decode()
    assert (response.status_code, response["Content-Type"]) == (status, "text/html; charset=utf-8")
    assert f"<h1>{title}</h1>" in html
    assert WAY_BACK in html
    assert "secret" not in html
    assert ("Retry-After" in response.headers) == (status == 503)


@pytest.mark.django_db
def test_an_operator_without_the_role_reads_the_id_that_the_log_has() -> None:
    browser = Client()
    browser.force_login(make_operator("viewer"))
    answer = browser.get("/admin/kyc/case/")
    assert answer.status_code == 403
    assert f"<code>{answer['X-Request-ID']}</code>" in answer.content.decode()


@pytest.mark.django_db
def test_a_form_without_its_token_is_refused_with_a_page(settings: Any) -> None:
    settings.DEBUG = False
    browser = Client(enforce_csrf_checks=True)
    answer = browser.post("/accounts/login/", {"login": "a@example.com", "password": "x"})
    assert answer.status_code == 403
    assert "This form has expired" in answer.content.decode()


@pytest.mark.django_db
def test_a_file_that_no_page_asked_for_is_too_much_and_no_failure(settings: Any) -> None:
    """It is refused before any view, where the form's token is looked for."""
    settings.DEBUG = False
    settings.KYC_MAX_FILE_BYTES = 100
    browser = Client(enforce_csrf_checks=True)
    browser.get("/accounts/login/")
    answer = browser.post("/accounts/login/", {"file": SimpleUploadedFile("a.pdf", b"x" * 101)})
    assert answer.status_code == 413
    assert "<h1>Request too large</h1>" in answer.content.decode()
