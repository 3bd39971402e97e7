"""POST /api/v1/kyc/webhooks/<provider>: where providers call back.

2xx only after the commit, also for what is known already; 4xx for what never will be taken; 5xx for what may
be later. A callback is only a reason to ask the provider (work.py), so nothing in its body decides anything.
"""

from __future__ import annotations

from http import HTTPStatus

import structlog
from django.db import Error as DatabaseError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from core import bodies
from core.errors import RETRY_AFTER_SECONDS
from core.request_id import current_request_id
from core.sqlstates import outage_of
from kyc.providers import events, registry
from kyc.providers.base import Malformed, Provider
from observability.metrics import record_database_outage
from observability.sentry import capture_exception

BODY_LIMIT_BYTES = 2 * 1024 * 1024  # Smile ID advises 1.5 MB: some callbacks hold a photograph
log = structlog.get_logger(__name__)


class Refused(Exception):
    """The answer for a callback that is not taken in."""

    def __init__(self, status: HTTPStatus, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


@csrf_exempt
def webhook(request: HttpRequest, provider: str) -> HttpResponse:
    """Stores a genuine callback and answers; the worker asks the provider what became of the job."""
    try:
        asked = known_provider(provider)
        check_method(request)
        return take_in(asked, request, read_body(request))
    except Refused as refusal:
        return problem(refusal)
    except DatabaseError as error:
        return problem(not_stored(error))


def take_in(provider: Provider, request: HttpRequest, body: bytes) -> HttpResponse:
    try:
        callback = provider.verify(body, request.headers)
    except Malformed as error:
        events.store_refused(provider=provider.name, body=body, result="malformed", reason=str(error))
        raise Refused(HTTPStatus.BAD_REQUEST, "malformed", str(error)) from error
    if callback is None:
        reason = "The signature is wrong or too old."
        events.store_refused(provider=provider.name, body=body, result="bad_signature", reason=reason)
        raise Refused(HTTPStatus.UNAUTHORIZED, "bad_signature", reason)
    is_new = events.store(provider=provider.name, callback=callback, body=body)
    return JsonResponse({"stored": is_new})


def not_stored(error: DatabaseError) -> Refused:
    """503 also for a fault of Amani's own: a new version may mend it while the provider tries again."""
    record_database_outage(error)
    outage = outage_of(error)
    if outage is None:
        log.exception("kyc_callback_failed")
        capture_exception(error)
    else:
        log.warning("kyc_callback_not_stored", error=type(error).__name__, reason=outage.reason.value)
    unavailable = "Callbacks can't be stored now. Send it again."
    return Refused(HTTPStatus.SERVICE_UNAVAILABLE, "unavailable", unavailable)


def known_provider(name: str) -> Provider:
    """One that calls back. Before it is configured, nothing can be verified."""
    provider = registry.PROVIDERS.get(name)
    if provider is None or not provider.is_asked or not provider.is_configured():
        raise Refused(HTTPStatus.NOT_FOUND, "not_found", "No such provider calls back here.")
    return provider


def check_method(request: HttpRequest) -> None:
    if request.method != "POST":
        raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, "method_not_allowed", "Use POST.")


def read_body(request: HttpRequest) -> bytes:
    """The whole body, as it was sent: the signature is checked over nothing that was parsed first."""
    try:
        return bodies.read_body(request, BODY_LIMIT_BYTES)
    except bodies.LengthMissing as error:
        raise Refused(HTTPStatus.LENGTH_REQUIRED, "length_required", str(error)) from error
    except bodies.BodyTooLong as error:
        raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large", str(error)) from error
    except bodies.MalformedBody as error:
        raise Refused(HTTPStatus.BAD_REQUEST, "malformed", str(error)) from error
    except bodies.IncompleteBody as error:
        raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "unavailable", str(error)) from error


def problem(refusal: Refused) -> JsonResponse:
    """The API's shape of errors (RFC 9457)."""
    body = {
        "title": refusal.status.phrase,
        "status": int(refusal.status),
        "code": refusal.code,
        "message": str(refusal),
        "fields": {},
        "request_id": current_request_id(),
    }
    response = JsonResponse(body, status=refusal.status, content_type="application/problem+json")
    if refusal.status == HTTPStatus.SERVICE_UNAVAILABLE:
        response["Retry-After"] = str(RETRY_AFTER_SECONDS)
    if refusal.status == HTTPStatus.METHOD_NOT_ALLOWED:
        response["Allow"] = "POST"
    return response
