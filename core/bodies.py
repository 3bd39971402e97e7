"""Reads request bodies completely or refuses them, and never reads beyond a limit.

The limit of a request is DATA_UPLOAD_MAX_MEMORY_SIZE, and `limit_body` sets another: few routes take more.
A body that is announced as longer is refused before any of it is read.

Django's WSGIRequest supports only Content-Length. It would read a body in chunks (Transfer-Encoding:
chunked), which some proxies send, as empty, and would accept a body that ends too early as complete. gunicorn
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

from core.arriving import ClientSocket, NoPlace
from core.errors import RETRY_AFTER_SECONDS

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

LIMIT = "amani.body_limit"  # key in the WSGI environment: the longest body of this request in bytes
MOST_DIGITS = 12  # Python refuses to convert some thousand digits


class UnreadableBody(BadRequest):
    """The base class of errors in a body as it was sent. Django answers them with 400."""


class MalformedBody(UnreadableBody):
    """The chunks are malformed, or the body has another transfer coding as well."""


class IncompleteBody(UnreadableBody):
    """The connection ended within the body, or the body did not arrive in time."""

    def __init__(self, message: str = "The body is incomplete. Send it again.") -> None:
        super().__init__(message)


class BodyNotAwaited(IncompleteBody):
    """The body has not arrived, and as many threads as may do so wait for bodies already."""

    def __init__(self) -> None:
        super().__init__(f"Too many bodies arrive slowly. Send it again in {RETRY_AFTER_SECONDS} s.")


class LengthMissing(UnreadableBody):
    """Neither Content-Length nor Transfer-Encoding says where the body ends."""

    def __init__(self) -> None:
        super().__init__("Send the header Content-Length, or Transfer-Encoding: chunked.")


class BodyTooLong(RequestDataTooBig):
    """The body is longer than `limit` bytes. `length` is None for a body in chunks, which was not read to its
    end."""

    def __init__(self, limit: int, length: int | None = None) -> None:
        super().__init__(f"The body is longer than {limit:,} bytes.")
        self.limit = limit
        self.length = length


def is_chunked(environ: Mapping[str, Any]) -> bool:
    """Whether the body comes in chunks that the server decodes (`wsgi.input_terminated`)."""
    return (
        "HTTP_TRANSFER_ENCODING" in environ
        and not environ.get("CONTENT_LENGTH")
        and bool(environ.get("wsgi.input_terminated"))
    )


def has_body(environ: Mapping[str, Any]) -> bool:
    return bool(declared_length(environ)) or is_chunked(environ)


def limit_body(request: HttpRequest, limit: int) -> None:
    """Sets the longest body, in bytes, that may be read from the request."""
    request.META[LIMIT] = limit


def trust_sender(request: HttpRequest) -> None:
    """Lets the thread wait for this request's body even if as many as may do so wait already."""
    client = request.META.get("gunicorn.socket")
    if isinstance(client, ClientSocket):
        client.is_trusted = True


def read_body(request: HttpRequest, limit: int) -> bytes:
    """Returns the whole body as it was sent, at most `limit` bytes.

    Django's own `request.body` is limited to DATA_UPLOAD_MAX_MEMORY_SIZE, which is too small for many alerts.
    Raises BodyTooLong, IncompleteBody, MalformedBody, LengthMissing.
    """
    length = declared_length(request.META)
    if length is None and not is_chunked(request.META):
        raise LengthMissing
    if length is not None and length > limit:
        raise BodyTooLong(limit, length)
    limit_body(request, limit)
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
    """Returns Content-Length in bytes; None when it is missing or not a number."""
    length = environ.get("CONTENT_LENGTH") or ""
    if not (length.isascii() and length.isdecimal()):
        return None
    return int(length.lstrip("0")[:MOST_DIGITS] or "0")


def limit_of(environ: Mapping[str, Any]) -> int:
    """Returns the longest body, in bytes, that may be read from the request."""
    limit: int = environ.get(LIMIT, settings.DATA_UPLOAD_MAX_MEMORY_SIZE)
    return limit


class BodyOfLength(IOBase):
    """Reads the body of `length` bytes. Raises IncompleteBody when there are fewer.

    Raises BodyTooLong before it reads anything of a body that is longer than `limit_body` allows.
    """

    def __init__(self, environ: WSGIEnvironment, length: int) -> None:
        self.environ = environ
        self.source: BinaryIO = environ["wsgi.input"]
        self.length = length
        self.remaining = length

    def read(self, size: int | None = -1, /) -> bytes:
        return self.take(self.source.read, size, is_complete=True)

    def readline(self, size: int | None = -1, /) -> bytes:
        return self.take(self.source.readline, size, is_complete=False)

    def take(self, read: Callable[[int], bytes], size: int | None, *, is_complete: bool) -> bytes:
        if self.length > (limit := limit_of(self.environ)):
            raise BodyTooLong(limit, self.length)
        wanted = self.remaining if size is None or size < 0 else min(size, self.remaining)
        if not wanted:
            return b""
        data = decoded(read, wanted)
        self.remaining -= len(data)
        if not data or (is_complete and len(data) < wanted):
            raise IncompleteBody
        return data


class BodyInChunks(IOBase):
    """Reads a body in chunks. Raises BodyTooLong beyond the limit of `limit_body`, IncompleteBody and
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
        limit = limit_of(self.environ)
        left = limit - self.taken + 1
        data = decoded(read, left if size is None or size < 0 else min(size, left))
        self.taken += len(data)
        if self.taken > limit:
            raise BodyTooLong(limit)
        return data


def decoded(read: Callable[[int], bytes], size: int) -> bytes:
    """Reads at most `size` bytes, and raises gunicorn's errors as MalformedBody or IncompleteBody."""
    try:
        return read(size)
    except NoPlace as error:
        raise BodyNotAwaited from error
    except ParseException as error:
        raise MalformedBody("The chunks of the body are malformed. Send it again.") from error
    except OSError as error:
        raise IncompleteBody from error


def refuse_other_codings(environ: Mapping[str, Any]) -> None:
    """Raises MalformedBody for `gzip, chunked` and the like: gunicorn accepts it, but decodes only the
    chunks."""
    codings = {part.strip().lower() for part in environ["HTTP_TRANSFER_ENCODING"].split(",")}
    if codings - {"chunked", "identity"}:
        raise MalformedBody("Send the body with no other Transfer-Encoding than chunked.")


class Request(WSGIRequest):
    """Django's request, but it refuses incomplete bodies and reads bodies in chunks."""

    def __init__(self, environ: WSGIEnvironment) -> None:
        super().__init__(environ)
        length = declared_length(environ)
        if is_chunked(environ):
            self._stream = BodyInChunks(environ)  # type: ignore[assignment]  # Django's is no BinaryIO either
        elif length:
            self._stream = BodyOfLength(environ, length)  # type: ignore[assignment]  # likewise

    def parse_file_upload(
        self,
        META: Mapping[str, Any],  # noqa: N803  (Django's name)
        post_data: Any,
    ) -> tuple[QueryDict, MultiValueDict[str, Any]]:
        """Gives Django's parser the length of a form in chunks, which it needs.

        It is read into memory: no uploaded file may be written to a disk.
        """
        if is_chunked(META):
            body = post_data.read()
            META, post_data = {**META, "CONTENT_LENGTH": str(len(body))}, BytesIO(body)  # noqa: N806
        return super().parse_file_upload(META, post_data)


class Handler(WSGIHandler):
    request_class = Request
