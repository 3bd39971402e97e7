"""Webhooks that other systems send: read within a limit, refused with a typed answer, kept before acting.

How an app uses it (kyc/providers/webhook.py is a whole example):

    class PaymentEvent(Evidence): ...                     # with a state, and a trigger against changes
    try:
        require_post(request)
        body = read_body(request, limit_bytes=1_000_000)  # then check the signature, store the row, answer
    except Refused as refusal:
        return with_headers(JsonResponse({"code": refusal.code}, status=refusal.status), refusal)

A page of the console processes a kept row again: HistoryAdmin.action_path in core/console/history.py.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import TypeVar

from django.db import models
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from core import bodies
from core.errors import RETRY_AFTER_SECONDS


class Evidence(models.Model):
    """What arrived, byte for byte, stored before anything is done about it. Request headers are never kept.

    The subclass adds what became of it, and a trigger: `pgtrigger.ReadOnly(name=..., fields=["received_at",
    "body", ...])`.
    """

    received_at = models.DateTimeField(default=timezone.now, editable=False)
    body = models.BinaryField(help_text="As received.")
    request_id = models.CharField(max_length=64, blank=True)

    class Meta:
        abstract = True


class Refused(Exception):
    """Why a request is not accepted: the status, a `code` for programs, and a message for people."""

    def __init__(self, status: HTTPStatus, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


def require_post(request: HttpRequest) -> None:
    """Raises Refused (405) for any other method."""
    if request.method != "POST":
        raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, "method_not_allowed", "Use POST.")


def read_body(
    request: HttpRequest, limit_bytes: int, too_large: Callable[[bodies.BodyTooLong], str] = str
) -> bytes:
    """Returns the whole body as it was sent, so that a signature can be checked over it.

    `too_large` words the message for a body that is longer than `limit_bytes`. Raises Refused: 411 without a
    length, 413 beyond the limit, 400 for chunks that are none, 503 when the connection broke off.
    """
    try:
        return bodies.read_body(request, limit_bytes)
    except bodies.LengthMissing as error:
        raise Refused(HTTPStatus.LENGTH_REQUIRED, "length_required", str(error)) from error
    except bodies.BodyTooLong as error:
        raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large", too_large(error)) from error
    except bodies.MalformedBody as error:
        raise Refused(HTTPStatus.BAD_REQUEST, "malformed", str(error)) from error
    except bodies.IncompleteBody as error:
        raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "unavailable", str(error)) from error


Response = TypeVar("Response", bound=HttpResponse)


def with_headers(response: Response, refusal: Refused) -> Response:
    """Adds the headers that belong to the refusal's status, and returns the response."""
    if refusal.status == HTTPStatus.SERVICE_UNAVAILABLE:
        response["Retry-After"] = str(RETRY_AFTER_SECONDS)
    if refusal.status == HTTPStatus.TOO_MANY_REQUESTS:
        response["Retry-After"] = "60"
    if refusal.status == HTTPStatus.METHOD_NOT_ALLOWED:
        response["Allow"] = "POST"
    return response
