"""Serves the published rule file to what fetches it for Prometheus: GET /api/v1/alerts/rules.

A client that sends the ETag of the file that it has is answered 304. Without the right token a client does
not learn whether rules are served.
"""

from __future__ import annotations

import hmac
from http import HTTPStatus

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.http import condition, require_safe

from core.wrong_tokens import WrongTokens
from observability.models import ServedRules

MOST_WRONG_TOKENS = 30  # a minute, from one source, in one process
wrong_tokens = WrongTokens(MOST_WRONG_TOKENS)


@require_safe
def rules_file(request: HttpRequest) -> HttpResponse:
    """Answers with the rule file, or 304 to a client that has it.

    401 or 429 for a wrong token, 404 until there are rules to serve. The first GET of a file is stored: the
    page of the version says since when it was fetched, or that it was not.
    """
    if not has_token(request):
        return unauthorized(request)
    row = ServedRules.objects.exclude(text="").first()
    if row is None:
        message = "There are no rules to serve yet: no version was published."
        return JsonResponse({"code": "no_rules", "message": message}, status=HTTPStatus.NOT_FOUND)
    if row.fetched_at is None and request.method == "GET":
        same = ServedRules.objects.filter(digest=row.digest, fetched_at=None)
        same.update(fetched_at=timezone.now())
    response = answer(request, row)
    response["Cache-Control"] = "no-cache"
    return response


@condition(etag_func=lambda request, row: row.digest)
def answer(request: HttpRequest, row: ServedRules) -> HttpResponse:
    return HttpResponse(row.text, content_type="application/yaml; charset=utf-8")


def has_token(request: HttpRequest) -> bool:
    scheme, _, given = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    token = settings.ALERT_RULES_TOKEN
    is_same = hmac.compare_digest(given.strip().encode(), token.encode())
    return bool(token) and is_same and scheme.lower() == "bearer"


def unauthorized(request: HttpRequest) -> JsonResponse:
    if wrong_tokens.are_too_many(request):
        message = "Too many wrong tokens from this address. Wait a minute, then send the right one."
        status, headers = HTTPStatus.TOO_MANY_REQUESTS, {"Retry-After": "60"}
    else:
        message = "Send the header Authorization: Bearer <ALERT_RULES_TOKEN>."
        status, headers = HTTPStatus.UNAUTHORIZED, {"WWW-Authenticate": "Bearer"}
    return JsonResponse({"code": "bad_token", "message": message}, status=status, headers=headers)
