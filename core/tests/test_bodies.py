"""Bodies as Django's handlers get them: complete and within their limit, or refused."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest
from django.core.exceptions import RequestDataTooBig
from django.test import RequestFactory
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart
from gunicorn.http.errors import InvalidChunkSize, NoMoreData  # type: ignore[import-untyped]

from core.bodies import (
    BodyTooLong,
    IncompleteBody,
    LengthMissing,
    MalformedBody,
    Request,
    limit_body,
    read_body,
)

FORM = "application/x-www-form-urlencoded"


class Broken(BytesIO):
    """Raises `error` where the body would go on."""

    def __init__(self, beginning: bytes, error: Exception) -> None:
        super().__init__(beginning)
        self.error = error

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        if not data or size is None or len(data) < size:
            raise self.error
        return data


def request(body: bytes | BytesIO, *, length: int | None = None, **environ: Any) -> Request:
    """A POST as gunicorn hands it over: in chunks, which it decodes, or of `length` bytes."""
    source = body if isinstance(body, BytesIO) else BytesIO(body)
    made = RequestFactory().request(REQUEST_METHOD="POST", PATH_INFO="/").environ
    how = {"HTTP_TRANSFER_ENCODING": "chunked"} if length is None else {"CONTENT_LENGTH": str(length)}
    return Request(made | {"wsgi.input": source, "wsgi.input_terminated": True} | how | environ)


def test_a_body_in_chunks_is_whole() -> None:
    assert request(b'{"a": 1}').body == b'{"a": 1}'


def test_a_form_in_chunks_has_its_fields() -> None:
    assert request(b"name=Ada&name=Obi", CONTENT_TYPE=FORM).POST.getlist("name") == ["Ada", "Obi"]


def test_a_form_with_files_in_chunks_has_its_fields_and_files() -> None:
    file = BytesIO(b"%PDF-1.7")
    file.name = "passport.pdf"
    body = encode_multipart(BOUNDARY, {"country": "NG", "front": file})
    made = request(body, CONTENT_TYPE=MULTIPART_CONTENT)
    assert made.POST["country"] == "NG"
    (upload,) = made.FILES.getlist("front")
    assert (upload.name, upload.read()) == ("passport.pdf", b"%PDF-1.7")


def test_lines_of_a_body_in_chunks() -> None:
    assert list(request(b"one\ntwo\nthree")) == [b"one\n", b"two\n", b"three"]


def test_no_more_than_one_byte_beyond_the_limit_is_read(settings: Any) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 10
    source = BytesIO(b"x" * 1_000)
    with pytest.raises(RequestDataTooBig):
        _ = request(source).body
    assert source.tell() == 11


def test_a_route_may_set_a_lower_limit() -> None:
    source = BytesIO(b"x" * 1_000)
    made = request(source)
    limit_body(made, 10)
    with pytest.raises(BodyTooLong):
        _ = made.body
    assert source.tell() == 11


def test_a_body_as_long_as_the_limit_is_taken(settings: Any) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 10
    made = request(b"x" * 10)
    limit_body(made, 10)
    assert made.body == b"x" * 10
    assert read_body(request(b"x" * 10), 10) == b"x" * 10
    assert read_body(request(b"x" * 10, length=10), 10) == b"x" * 10


@pytest.mark.parametrize("kind", [FORM, MULTIPART_CONTENT])
def test_a_body_that_is_announced_as_longer_than_the_limit_is_not_read(settings: Any, kind: str) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 10
    source = BytesIO(b"x" * 11)
    with pytest.raises(RequestDataTooBig):
        _ = request(source, length=11, CONTENT_TYPE=kind).POST
    assert source.tell() == 0


def test_a_route_may_set_a_higher_limit(settings: Any) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 10
    for length in (None, 11):
        made = request(b"x" * 11, length=length)
        limit_body(made, 11)
        assert made.read() == b"x" * 11


def test_reading_without_a_size_keeps_to_the_limit(settings: Any) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 10
    with pytest.raises(BodyTooLong):
        request(b"x" * 11).read()


def test_a_form_with_files_is_read_up_to_its_limit() -> None:
    source = BytesIO(b"x" * 1_000)
    made = request(source, CONTENT_TYPE=MULTIPART_CONTENT)
    limit_body(made, 10)
    with pytest.raises(RequestDataTooBig):
        _ = made.POST
    assert source.tell() == 11


@pytest.mark.parametrize("length", [None, 11])
def test_a_webhook_beyond_its_limit_is_refused(length: int | None) -> None:
    with pytest.raises(BodyTooLong) as refused:
        read_body(request(b"x" * 11, length=length), 10)
    assert (refused.value.limit, refused.value.length) == (10, length)


def test_malformed_chunks_are_the_caller_s_fault() -> None:
    source = Broken(b"hello", InvalidChunkSize(b"zz"))
    with pytest.raises(MalformedBody, match="malformed"):
        _ = request(source).body


@pytest.mark.parametrize("coding", ["gzip, chunked", "deflate,chunked"])
def test_another_transfer_coding_is_refused(coding: str) -> None:
    with pytest.raises(MalformedBody, match="no other Transfer-Encoding"):
        _ = request(b"x", HTTP_TRANSFER_ENCODING=coding).body


@pytest.mark.parametrize("error", [NoMoreData(), ConnectionResetError()])
@pytest.mark.parametrize("length", [None, 20])
def test_a_connection_that_ends_within_the_body_leaves_no_body(error: Exception, length: int | None) -> None:
    with pytest.raises(IncompleteBody):
        _ = request(Broken(b"name=Ada", error), length=length, CONTENT_TYPE=FORM).POST
    with pytest.raises(IncompleteBody):
        read_body(request(Broken(b"name=Ada", error), length=length), 100)


def test_a_body_shorter_than_its_length_is_no_body() -> None:
    """Django would take the beginning for the whole."""
    with pytest.raises(IncompleteBody):
        _ = request(b"amount=1", length=10, CONTENT_TYPE=FORM).POST


def test_what_follows_a_body_of_a_length_is_not_read() -> None:
    source = BytesIO(b"name=Ada GET / HTTP/1.1")
    assert request(source, length=8, CONTENT_TYPE=FORM).POST["name"] == "Ada"
    assert source.tell() == 8


@pytest.mark.parametrize("length", ["", "-1", "1e3", "\u0663"])
def test_a_length_that_is_no_number_is_none(length: str) -> None:
    made = request(b"x", length=0, CONTENT_LENGTH=length)
    with pytest.raises(LengthMissing):
        read_body(made, 100)


def test_chunks_that_the_server_does_not_decode_are_not_read() -> None:
    """As under Django's own server: reading would wait for the end of the connection."""
    source = BytesIO(b"1\r\nx\r\n0\r\n\r\n")
    assert request(source, **{"wsgi.input_terminated": False}).body == b""
    assert source.tell() == 0
