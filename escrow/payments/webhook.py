"""Receives webhooks of payment providers: POST /api/v1/payments/webhooks/<provider>.

Answers 2xx only after the commit, also for duplicates; 4xx for permanent errors; 5xx for temporary ones. A
webhook only triggers a question to the provider (work.py), so its body decides nothing.
"""

from __future__ import annotations

from http import HTTPStatus

from django.db import Error as DatabaseError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from core.request_id import current_request_id
from core.webhooks import Refused, read_body, require_post, with_headers
from escrow.payments import events, registry
from escrow.payments.base import Malformed, Provider
from observability.webhooks import not_stored

BODY_LIMIT_BYTES = 512 * 1024


@csrf_exempt
def webhook(request: HttpRequest, provider: str) -> HttpResponse:
    """Stores a verified webhook; the worker then asks the provider."""
    try:
        asked = known_provider(provider)
        require_post(request)
        return take_in(asked, request, read_body(request, BODY_LIMIT_BYTES))
    except Refused as refusal:
        return problem(refusal)
    except DatabaseError as error:
        message = "Webhooks can't be stored now. Send it again."
        return problem(not_stored(error, webhook=provider, message=message))


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


def known_provider(name: str) -> Provider:
    """Returns the provider. Raises Refused if there is none or it is not configured."""
    provider = registry.PROVIDERS.get(name)
    if provider is None or not provider.is_configured():
        raise Refused(HTTPStatus.NOT_FOUND, "not_found", "There is no such payment provider.")
    return provider


def problem(refusal: Refused) -> JsonResponse:
    """Returns the response in the API's shape of errors (RFC 9457)."""
    body = {
        "title": refusal.status.phrase,
        "status": int(refusal.status),
        "code": refusal.code,
        "message": str(refusal),
        "fields": {},
        "request_id": current_request_id(),
    }
    response = JsonResponse(body, status=refusal.status, content_type="application/problem+json")
    return with_headers(response, refusal)
