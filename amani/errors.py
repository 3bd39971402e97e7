"""How errors are answered over HTTP: one shape for every route of the API (RFC 9457), said here once."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from django.http import HttpRequest, HttpResponse

from observability import errors
from observability.errors import AmaniError
from observability.request_id import current_request_id

MEDIA_TYPE = "application/problem+json"
STATUS_OF_KIND: tuple[tuple[type[AmaniError], HTTPStatus], ...] = (
    (errors.Invalid, HTTPStatus.UNPROCESSABLE_ENTITY),
    (errors.TooLarge, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    (errors.WrongType, HTTPStatus.UNSUPPORTED_MEDIA_TYPE),
    (errors.Forbidden, HTTPStatus.FORBIDDEN),
    (errors.NotFound, HTTPStatus.NOT_FOUND),
    (errors.Conflict, HTTPStatus.CONFLICT),
    (errors.Unavailable, HTTPStatus.SERVICE_UNAVAILABLE),
)


def status_of(error: AmaniError) -> HTTPStatus:
    for kind, status in STATUS_OF_KIND:
        if isinstance(error, kind):
            return status
    return HTTPStatus.BAD_REQUEST


def problem(
    status: int, code: str, message: str, fields: dict[str, list[str]] | None = None, **headers: str
) -> HttpResponse:
    """An RFC 9457 answer. `code` is for programs and stays, `message` for people, `fields` names inputs."""
    body: dict[str, Any] = {
        "title": HTTPStatus(status).phrase,
        "status": int(status),
        "code": code,
        "message": message,
        "fields": fields or {},
        "request_id": current_request_id(),
    }
    return HttpResponse(json.dumps(body), status=status, content_type=MEDIA_TYPE, headers=headers)


def problem_of(_request: HttpRequest, error: Any) -> HttpResponse:
    return problem(status_of(error), error.code, str(error), error.fields)
