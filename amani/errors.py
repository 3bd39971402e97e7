"""Translates errors into HTTP responses of one shape (RFC 9457) for every route of the API.

amani/api.py registers the handlers of errors inside Ninja, amani/urls.py those of errors that reach Django.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from django.core.exceptions import RequestDataTooBig, TooManyFieldsSent, TooManyFilesSent
from django.http import HttpRequest, HttpResponse
from kombu.exceptions import OperationalError as BrokerError
from ninja import Schema
from ninja.errors import HttpError, ValidationError
from pydantic import ConfigDict, Field
from redis.exceptions import RedisError

from core import constraints, errors, sqlstates
from core.api.versions import etag
from core.bodies import BodyNotAwaited, UnreadableBody
from core.errors import RETRY_AFTER_SECONDS, AmaniError
from core.request_id import current_request_id

MEDIA_TYPE = "application/problem+json"
MOST_FIELDS = 50
LONGEST_FIELD = 100  # characters; the client can send any name of an unknown field
TOO_LARGE = (RequestDataTooBig, TooManyFieldsSent, TooManyFilesSent)


class TooManyRequests(AmaniError):
    code = "too_many_requests"

    def __init__(self, limit: int, seconds: int, what: str = "requests") -> None:
        super().__init__(f"More than {limit} {what} in a minute. Try again in {seconds} s.")
        self.seconds = seconds


class CsrfFailed(errors.Forbidden):
    code = "csrf_failed"

    def __init__(self) -> None:
        super().__init__("X-CSRFToken is missing or wrong. Send the value of the cookie csrftoken in it.")


class EmailNotVerified(errors.Forbidden):
    code = "email_not_verified"

    def __init__(self) -> None:
        super().__init__("Verify your e-mail address first (auth/email/verify).")


class Problem(Schema):
    """Every error of the API."""

    model_config = ConfigDict(extra="forbid")

    title: str = Field(description="The name of the HTTP status.", examples=["Unprocessable Entity"])
    status: int = Field(description="The HTTP status.", examples=[422])
    code: str = Field(description="Stable; programs should use this.", examples=["invalid_input"])
    message: str = Field(
        description="Text for the user: what happened and what to do.",
        examples=["Correct the fields named here."],
    )
    fields: dict[str, list[str]] = Field(
        description="The errors of each invalid field.",
        examples=[{"country": ["String should have at most 2 characters"]}],
    )
    request_id: str = Field(
        description="Also in the header X-Request-ID. Include it when you ask for help.",
        examples=["4f0f6f0c8f2e4d1b9a7c5e3d2b1a0f9e"],
    )


STATUS_OF_KIND: tuple[tuple[type[AmaniError], HTTPStatus], ...] = (
    (errors.Invalid, HTTPStatus.UNPROCESSABLE_ENTITY),
    (errors.TooLarge, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    (errors.WrongType, HTTPStatus.UNSUPPORTED_MEDIA_TYPE),
    (errors.Forbidden, HTTPStatus.FORBIDDEN),
    (errors.NotFound, HTTPStatus.NOT_FOUND),
    (errors.Conflict, HTTPStatus.CONFLICT),
    (errors.Stale, HTTPStatus.PRECONDITION_FAILED),
    (errors.VersionMissing, HTTPStatus.PRECONDITION_REQUIRED),
    (errors.Unavailable, HTTPStatus.SERVICE_UNAVAILABLE),
    (TooManyRequests, HTTPStatus.TOO_MANY_REQUESTS),
)


def status_of(error: AmaniError) -> HTTPStatus:
    for kind, status in STATUS_OF_KIND:
        if isinstance(error, kind):
            return status
    return HTTPStatus.BAD_REQUEST


def problem(
    status: int,
    code: str,
    message: str,
    fields: dict[str, list[str]] | None = None,
    headers: dict[str, str] | None = None,
) -> HttpResponse:
    """Returns an RFC 9457 response.

    `code` is stable and for programs, `message` is for users, `fields` maps a field's name to its errors.
    """
    body: dict[str, Any] = {
        "title": HTTPStatus(status).phrase,
        "status": int(status),
        "code": code,
        "message": message,
        "fields": fields or {},
        "request_id": current_request_id(),
    }
    shown = {"Cache-Control": "no-store", **(headers or {})}
    return HttpResponse(json.dumps(body), status=status, content_type=MEDIA_TYPE, headers=shown)


def problem_of(_request: HttpRequest, error: Any) -> HttpResponse:
    """Handles Amani's own errors for Ninja."""
    return answer_to(error)


def answer_to(error: AmaniError) -> HttpResponse:
    """Returns the response to one of Amani's own errors."""
    headers = {}
    if isinstance(error, TooManyRequests):
        headers["Retry-After"] = str(error.seconds)
    elif isinstance(error, errors.Unavailable):
        headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    elif isinstance(error, errors.Stale):
        headers["ETag"] = etag(error.version)
    return problem(status_of(error), error.code, str(error), error.fields, headers)


# --- Errors that Ninja raises ---


def invalid_input(_request: HttpRequest, error: Any) -> HttpResponse:
    problems: ValidationError = error
    return problem(422, "invalid_input", "Correct the fields named here.", fields_of(problems.errors))


def fields_of(found: Iterable[dict[str, Any]]) -> dict[str, list[str]]:
    """Returns the errors by name of the field: `country`, `items.0.amount`, or `body` for the whole body."""
    fields: dict[str, list[str]] = {}
    for one in found:
        name = name_of(one["loc"])
        if name in fields or len(fields) < MOST_FIELDS:
            fields.setdefault(name, []).append(one["msg"].removeprefix("Value error, "))
    return fields


def name_of(location: tuple[str | int, ...]) -> str:
    """Returns a field's name without its source, and without the view's own name for the whole body."""
    source, *rest = location
    parts = rest[1:] if source == "body" else rest
    return ".".join(map(str, parts))[:LONGEST_FIELD] or str(source)


def refusal(_request: HttpRequest, error: Any) -> HttpResponse:
    """Handles missing authentication and unreadable bodies; an error of our parser is the cause."""
    refused: HttpError = error
    if isinstance(refused.__cause__, AmaniError):
        return answer_to(refused.__cause__)
    if refused.status_code == HTTPStatus.UNAUTHORIZED:
        return not_signed_in()
    if refused.status_code == HTTPStatus.BAD_REQUEST:
        return unreadable()
    return problem(refused.status_code, "refused", str(refused))


def unreadable() -> HttpResponse:
    return problem(400, "unreadable_body", "The body is not JSON in UTF-8. Correct it.")


def not_signed_in() -> HttpResponse:
    return problem(
        401,
        "not_signed_in",
        "Sign in at /_allauth/app/v1/auth/login, then send its session token as X-Session-Token.",
        headers={"WWW-Authenticate": 'Session realm="Amani"'},
    )


def not_allowed(allow: str) -> HttpResponse:
    methods = ", ".join(sorted(method.strip() for method in allow.split(",")))
    return problem(405, "method_not_allowed", f"Use {methods}.", headers={"Allow": methods})


def too_large() -> HttpResponse:
    return problem(413, "too_large", "The request is too large. Send fewer or smaller files and fields.")


# --- Errors that reach Django ---


def bad_request(exception: BaseException | None) -> HttpResponse:
    if isinstance(exception, AmaniError):
        return answer_to(exception)
    if isinstance(exception, TOO_LARGE):
        return too_large()
    if isinstance(exception, BodyNotAwaited):
        return problem(503, "busy", str(exception), headers={"Retry-After": str(RETRY_AFTER_SECONDS)})
    if isinstance(exception, UnreadableBody):
        return problem(400, "unreadable_body", str(exception))
    return problem(400, "bad_request", "The request is malformed. Correct it before you send it again.")


def not_found() -> HttpResponse:
    return problem(404, "not_found", "It does not exist, or you may not see it.")


def csrf_failure() -> HttpResponse:
    return answer_to(CsrfFailed())


def forbidden() -> HttpResponse:
    return problem(403, "forbidden", "You may not do this.")


def is_outage(exception: BaseException | None) -> bool:
    """Returns whether the error means that the database or Redis is not available at the moment."""
    return isinstance(exception, RedisError | BrokerError) or sqlstates.is_outage(exception)


def failure(exception: BaseException | None) -> HttpResponse:
    """Returns 503, 409 or 500 without details. Django has logged, reported and counted the error already."""
    if is_outage(exception):
        message = "The database or Redis does not answer. Send the same request again later."
        return problem(503, "unavailable", message, headers={"Retry-After": str(RETRY_AFTER_SECONDS)})
    if taken := constraints.answer_to(exception):
        return answer_to(taken)
    return problem(500, "internal_error", "Internal error. Include the request_id when you ask for help.")
