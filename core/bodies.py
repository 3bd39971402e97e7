"""Bodies of requests: whole or refused, and never read beyond a limit, with or without Content-Length.

Django's WSGIRequest knows Content-Length only. A body in chunks (Transfer-Encoding: chunked), which some
proxies send, would be empty to it, and a body that ends too early would pass for a complete one. gunicorn
decodes the chunks, and refuses a request that has both headers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from io import BytesIO, IOBase
from typing import TYPE_CHECKING, Any, BinaryIO

from django.conf import settings
from django.core.exceptions import BadRequest, RequestDataTooBig
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.http import HttpRequest, QueryDict
from django.utils.datastructures import MultiValueDict
from gunicorn.http.errors import ParseException  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

LIMIT = "amani.body_limit"  # in the WSGI environment: the longest body of this request in bytes
MOST_DIGITS = 12  # Python makes no number of some thousand digits


class UnreadableBody(BadRequest):
    """Base of what is wrong with a body as it was sent; Django answers it with 400."""


class MalformedBody(UnreadableBody):
    """The chunks are no chunks, or the body is compressed as well."""


class IncompleteBody(UnreadableBody):
    """The connection ended within the body."""

    def __init__(self) -> None:
        super().__init__("The body broke off. Send it again.")


class LengthMissing(UnreadableBody):
    """Neither header says how the body ends."""

    def __init__(self) -> None:
        super().__init__("Send the header Content-Length, or Transfer-Encoding: chunked.")


class BodyTooLong(RequestDataTooBig):
    """`length` in bytes is None for a body in chunks: it was not read to its end."""

    def __init__(self, limit: int, length: int | None = None) -> None:
        super().__init__(f"The body is longer than {limit:,} bytes.")
        self.limit = limit
        self.length = length


def is_chunked(environ: Mapping[str, Any]) -> bool:
    """Whether the body comes in chunks that the server decodes, as `wsgi.input_terminated` says."""
    return (
        "HTTP_TRANSFER_ENCODING" in environ
        and not environ.get("CONTENT_LENGTH")
        and bool(environ.get("wsgi.input_terminated"))
    )


def limit_body(request: HttpRequest, limit: int) -> None:
    """Sets the longest body in bytes that may be read of a request whose body comes in chunks."""
    request.META[LIMIT] = limit


def read_body(request: HttpRequest, limit: int) -> bytes:
    """The whole body as it was sent, at most `limit` bytes.

    Django's own `request.body` ends at DATA_UPLOAD_MAX_MEMORY_SIZE, which would lose a storm of alerts.
    Raises BodyTooLong, IncompleteBody, MalformedBody, LengthMissing.
    """
    length = declared_length(request.META)
    if length is None and not is_chunked(request.META):
        raise LengthMissing
    if length is not None and length > limit:
        raise BodyTooLong(limit, length)
    try:
        body: bytes = request.read(limit + 1 if length is None else length)
    except OSError as error:  # UnreadablePostError is one
        raise IncompleteBody from error
    if len(body) > limit:
        raise BodyTooLong(limit)
    if length is not None and len(body) < length:
        raise IncompleteBody
    return body


def declared_length(environ: Mapping[str, Any]) -> int | None:
    """Content-Length in bytes; None when there is none, or no number."""
    length = environ.get("CONTENT_LENGTH") or ""
    if not (length.isascii() and length.isdecimal()):
        return None
    return int(length.lstrip("0")[:MOST_DIGITS] or "0")


class BodyOfLength(IOBase):
    """The next `length` bytes of `source`. Raises IncompleteBody when there are fewer."""

    def __init__(self, source: BinaryIO, length: int) -> None:
        self.source = source
        self.remaining = length

    def read(self, size: int | None = -1, /) -> bytes:
        return self.take(self.source.read, size, is_complete=True)

    def readline(self, size: int | None = -1, /) -> bytes:
        return self.take(self.source.readline, size, is_complete=False)

    def take(self, read: Callable[[int], bytes], size: int | None, *, is_complete: bool) -> bytes:
        wanted = self.remaining if size is None or size < 0 else min(size, self.remaining)
        if not wanted:
            return b""
        data = decoded(read, wanted)
        self.remaining -= len(data)
        if not data or (is_complete and len(data) < wanted):
            raise IncompleteBody
        return data


class BodyInChunks(IOBase):
    """What the chunks hold. Raises BodyTooLong beyond the limit that `limit_body` set, IncompleteBody and
    MalformedBody."""

    def __init__(self, environ: WSGIEnvironment) -> None:
        self.environ = environ
        self.source = environ["wsgi.input"]
        self.taken = 0

    def read(self, size: int | None = -1, /) -> bytes:
        return self.take(self.source.read, size)

    def readline(self, size: int | None = -1, /) -> bytes:
        return self.take(self.source.readline, size)

    def take(self, read: Callable[[int], bytes], size: int | None) -> bytes:
        refuse_other_codings(self.environ)
        limit = self.environ.get(LIMIT)
        if limit is None and (size is None or size < 0):
            limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        if limit is None:
            return decoded(read, size or 0)
        left = limit - self.taken + 1
        data = decoded(read, left if size is None or size < 0 else min(size, left))
        self.taken += len(data)
        if self.taken > limit:
            raise BodyTooLong(limit)
        return data


def decoded(read: Callable[[int], bytes], size: int) -> bytes:
    try:
        return read(size)
    except ParseException as error:
        raise MalformedBody("The chunks of the body are malformed. Send it again.") from error
    except OSError as error:
        raise IncompleteBody from error


def refuse_other_codings(environ: Mapping[str, Any]) -> None:
    """gunicorn takes `gzip, chunked` and undoes the chunks only."""
    codings = {part.strip().lower() for part in environ["HTTP_TRANSFER_ENCODING"].split(",")}
    if codings - {"chunked", "identity"}:
        raise MalformedBody("Send the body without another Transfer-Encoding than chunked.")


class Request(WSGIRequest):
    """Django's, with bodies that are whole, also those in chunks."""

    def __init__(self, environ: WSGIEnvironment) -> None:
        super().__init__(environ)
        length = declared_length(environ)
        if is_chunked(environ):
            self._stream = BodyInChunks(environ)  # type: ignore[assignment]  # Django's is no BinaryIO either
        elif length:
            self._stream = BodyOfLength(environ["wsgi.input"], length)  # type: ignore[assignment]  # likewise

    def parse_file_upload(
        self,
        META: Mapping[str, Any],  # noqa: N803  (Django's name)
        post_data: Any,
    ) -> tuple[QueryDict, MultiValueDict[str, Any]]:
        """Django's parser needs the length of a form. One byte beyond the limit is enough for the upload
        handlers to refuse it, as they do a form with its length. In memory: no file may touch a disk."""
        if is_chunked(META):
            body = post_data.read(settings.FILE_UPLOAD_MAX_MEMORY_SIZE + 1)
            META, post_data = {**META, "CONTENT_LENGTH": str(len(body))}, BytesIO(body)  # noqa: N806
        return super().parse_file_upload(META, post_data)


class Handler(WSGIHandler):
    request_class = Request
