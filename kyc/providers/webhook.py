"""POST /api/v1/kyc/webhooks/<provider>: where providers call back.

2xx only after the commit, also for what is known already; 4xx for what never will be taken; 5xx for what may
be later. A callback is only a reason to ask the provider (work.py), so nothing in its body decides anything.
"""

from __future__ import annotations

from http import HTTPStatus

from django.db import Error as DatabaseError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from core.request_id import current_request_id
from core.webhooks import Refused, read_body, require_post, with_headers
from kyc.providers import events, registry
from kyc.providers.base import Malformed, Provider
from observability.webhooks import not_stored

BODY_LIMIT_BYTES = 2 * 1024 * 1024  # Smile ID advises 1.5 MB: some callbacks hold a photograph


@csrf_exempt
def webhook(request: HttpRequest, provider: str) -> HttpResponse:
    """Stores a genuine callback and answers; the worker asks the provider what became of the job."""
    try:
        asked = known_provider(provider)
        require_post(request)
        return take_in(asked, request, read_body(request, BODY_LIMIT_BYTES))
    except Refused as refusal:
        return problem(refusal)
    except DatabaseError as error:
        message = "Callbacks can't be stored now. Send it again."
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
    """One that calls back. Before it is configured, nothing can be verified."""
    provider = registry.PROVIDERS.get(name)
    if provider is None or not provider.is_asked or not provider.is_configured():
        raise Refused(HTTPStatus.NOT_FOUND, "not_found", "No such provider calls back here.")
    return provider


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
    return with_headers(response, refusal)
