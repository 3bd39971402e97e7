"""The routes below /_allauth/: django-allauth's for apps and browsers, with Amani's own views of sign-up.

Before each of them stands a look at the body, so that what can't be stored or read is refused.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from typing import Any

from allauth.headless.constants import Client
from django.core.exceptions import BadRequest
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.urls import URLPattern, URLResolver, include, path
from django.views.decorators.csrf import csrf_exempt
from fido2.webauthn import AuthenticationResponse, RegistrationResponse

from accounts.sign_up import SignUpView, VerifyEmailView
from core.bodies import BodyTooLong, limit_body

View = Callable[..., HttpResponseBase]

LONGEST_BODY = 64 * 1024  # an answer of a security key is stored as it came
LENGTH = re.compile(r"[0-9]{1,10}")
# What reading the answer of a security key raises, which django-allauth would pass on.
UNREADABLE_KEY = (AttributeError, LookupError, TypeError, ValueError, struct.error)
NOT_OFFERED = ("phone", "phone/verify", "phone/verify/resend")  # a telephone number is only a contact here


def checked(view: View) -> View:
    @wraps(view)
    def checked_view(request: HttpRequest, *args: Any, **values: Any) -> HttpResponseBase:
        if not LENGTH.fullmatch(length := request.META.get("CONTENT_LENGTH") or "0"):
            raise BadRequest("Content-Length is no number, or too large.")
        if int(length) > LONGEST_BODY:
            raise BodyTooLong(LONGEST_BODY, int(length))
        limit_body(request, LONGEST_BODY)
        if request.body:
            refuse_unusable(request.body)
        return view(request, *args, **values)

    return checked_view


@csrf_exempt
def not_offered(request: HttpRequest, *_: Any, **__: Any) -> HttpResponseBase:
    raise Http404


def refuse_unusable(body: bytes) -> None:
    """Raises BadRequest for what is no JSON, for NUL and lone surrogates, and for broken answers of keys."""
    try:
        value = json.loads(body)
        texts = list(texts_in(value))
    except (ValueError, RecursionError):
        raise BadRequest("The body is no JSON.") from None
    for text in texts:
        if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
            raise BadRequest("The body has a character that is no text.")
    if isinstance(value, dict) and "credential" in value:
        refuse_unreadable_key(value["credential"])


def refuse_unreadable_key(credential: Any) -> None:
    """django-allauth reads it a second time, and some parts only when it shows the key later."""
    try:
        kind = (
            RegistrationResponse if "attestationObject" in credential["response"] else AuthenticationResponse
        )
        kind.from_dict(credential)
        credential.get("clientExtensionResults", {}).get("credProps", {}).get("rk")
    except UNREADABLE_KEY:
        raise BadRequest("The credential is not what a security key answers.") from None


def texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from value
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from texts_in(item)


def check_all(patterns: Iterable[URLPattern | URLResolver]) -> None:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            check_all(pattern.url_patterns)
        elif str(pattern.pattern) in NOT_OFFERED:
            pattern.callback = not_offered
        else:
            pattern.callback = checked(pattern.callback)


own_views: dict[str, Any] = {"auth/signup": SignUpView, "auth/email/verify": VerifyEmailView}
own = [
    path(f"{client.value}/v1/{route}", view.as_api_view(client=client))
    for client in Client
    for route, view in own_views.items()
]
urlpatterns: list[URLPattern | URLResolver] = [*own, path("", include("allauth.headless.urls"))]
check_all(urlpatterns)
