"""What a webhook refuses before it looks into a body."""

from __future__ import annotations

from http import HTTPStatus

import pytest
from django.http import HttpResponse
from django.test import RequestFactory

from core.webhooks import Refused, read_body, require_post, with_headers

POST = RequestFactory().post


def test_only_post_is_accepted() -> None:
    require_post(POST("/"))
    with pytest.raises(Refused) as refused:
        require_post(RequestFactory().get("/"))
    assert (refused.value.status, refused.value.code) == (405, "method_not_allowed")
    assert with_headers(HttpResponse(), refused.value)["Allow"] == "POST"


def test_a_body_of_exactly_the_limit_is_returned_as_it_was_sent() -> None:
    body = b'{"a": \xff}'
    assert read_body(POST("/", body, content_type="application/json"), len(body)) == body


def test_a_body_beyond_the_limit_is_refused_in_the_callers_words() -> None:
    request = POST("/", b"12345", content_type="text/plain")
    with pytest.raises(Refused, match="5 of 4") as refused:
        read_body(request, 4, lambda error: f"{error.length} of {error.limit}")
    assert (refused.value.status, refused.value.code) == (413, "too_large")
    assert "Retry-After" not in with_headers(HttpResponse(), refused.value)


def test_a_body_without_a_length_is_refused() -> None:
    request = POST("/", b"12345", content_type="text/plain")
    del request.META["CONTENT_LENGTH"]
    with pytest.raises(Refused) as refused:
        read_body(request, 100)
    assert (refused.value.status, refused.value.code) == (411, "length_required")


def test_a_body_that_breaks_off_is_to_be_sent_again() -> None:
    request = POST("/", b"12345", content_type="text/plain")
    request.META["CONTENT_LENGTH"] = "9"
    with pytest.raises(Refused) as refused:
        read_body(request, 100)
    assert refused.value.status is HTTPStatus.SERVICE_UNAVAILABLE
    assert with_headers(HttpResponse(), refused.value)["Retry-After"] == "5"
