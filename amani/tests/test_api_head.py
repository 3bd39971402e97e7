"""HEAD: is answered like GET without the body, and gives no more access."""

from __future__ import annotations

import pytest

from amani.tests.people import ME, Api, make_person
from observability.tests.samples import Change

pytestmark = pytest.mark.django_db
CASES = "/api/v1/kyc/cases"


@pytest.mark.parametrize("path", [ME, f"{ME}/export", CASES, "/api/v1/kyc/status", "/api/v1/openapi.json"])
def test_head_answers_like_get_without_the_body(path: str) -> None:
    api = Api(make_person())
    got, asked = api("GET", path), api("HEAD", path)
    assert (got.status_code, asked.status_code, asked.content) == (200, 200, b"")
    for answer in (got, asked):
        del answer.headers["X-Request-ID"]
    if "export" not in path:  # says when it was made
        assert asked.headers["Content-Length"] == str(len(got.content))
    assert {**asked.headers, "Content-Length": ""} == {**got.headers, "Content-Length": ""}


def test_head_is_refused_as_get_is() -> None:
    assert Api()("HEAD", ME).status_code == 401
    nowhere = f"{CASES}/00000000-0000-4000-8000-000000000000"
    assert Api(make_person())("HEAD", nowhere).status_code == 404


def test_head_is_no_way_to_post() -> None:
    answer = Api(make_person())("HEAD", f"{CASES}/00000000-0000-4000-8000-000000000000/withdraw")
    assert (answer.status_code, answer["Allow"]) == (405, "POST")


def test_head_is_counted_as_head() -> None:
    asked = Change("http_requests_total", method="HEAD", endpoint="/api/v1/me", status="200")
    Api(make_person())("HEAD", ME)
    assert asked() == 1
