"""Routes below /_allauth/: django-allauth's API for apps and browsers, with Amani's own views of sign-up.

Every view is wrapped in a check of the request's body, which refuses what cannot be read or stored.
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

from accounts.password_reset import NewPasswordView, RequestCodeView
from accounts.sign_up import SignUpView, VerifyEmailView

View = Callable[..., HttpResponseBase]

MOST_LEVELS = 32  # of objects and arrays in the body
LENGTH = re.compile(r"[0-9]{1,10}")
# Errors while a security key's response is parsed; django-allauth does not catch them.
UNREADABLE_KEY = (AttributeError, LookupError, TypeError, ValueError, struct.error)
NOT_OFFERED = ("phone", "phone/verify", "phone/verify/resend")  # Amani does not verify telephone numbers


def checked(view: View) -> View:
    """Returns the view behind checks of the body, which core/bodies.py limits. They raise BadRequest."""

    @wraps(view)
    def checked_view(request: HttpRequest, *args: Any, **values: Any) -> HttpResponseBase:
        if not LENGTH.fullmatch(request.META.get("CONTENT_LENGTH") or "0"):
            raise BadRequest("Content-Length is not a number, or too large.")
        if request.body:
            refuse_unusable(request.body)
        return view(request, *args, **values)

    return checked_view


@csrf_exempt
def not_offered(request: HttpRequest, *_: Any, **__: Any) -> HttpResponseBase:
    raise Http404


def refuse_unusable(body: bytes) -> None:
    """Raises BadRequest if the body is not JSON, is nested too deeply, has NUL or lone surrogates, or a
    malformed credential."""
    try:
        value = json.loads(body)
        texts = list(texts_in(value))
    except (ValueError, RecursionError):
        raise BadRequest("The body is not JSON.") from None
    for text in texts:
        if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
            raise BadRequest("The body contains NUL or half of a surrogate pair.")
    if isinstance(value, dict) and "credential" in value:
        refuse_unreadable_key(value["credential"])


def refuse_unreadable_key(credential: Any) -> None:
    """Raises BadRequest if a security key's response cannot be parsed.

    django-allauth parses it again, some parts of it only when it lists the key later.
    """
    try:
        kind = (
            RegistrationResponse if "attestationObject" in credential["response"] else AuthenticationResponse
        )
        kind.from_dict(credential)
        credential.get("clientExtensionResults", {}).get("credProps", {}).get("rk")
    except UNREADABLE_KEY:
        raise BadRequest("The credential is not a valid response of a security key.") from None


def texts_in(value: Any, levels: int = MOST_LEVELS) -> Iterator[str]:
    """Yields every string in a JSON value, keys of objects included.

    Raises RecursionError if it has more than so many levels. django-allauth decodes the body once more, with
    less room on the stack.
    """
    if not levels:
        raise RecursionError
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from value
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from texts_in(item, levels - 1)


def check_all(patterns: Iterable[URLPattern | URLResolver]) -> None:
    """Wraps the view of each route in `checked`, and replaces those in NOT_OFFERED by a 404."""
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            check_all(pattern.url_patterns)
        elif str(pattern.pattern) in NOT_OFFERED:
            pattern.callback = not_offered
        else:
            pattern.callback = checked(pattern.callback)


own_views: dict[str, Any] = {
    "auth/signup": SignUpView,
    "auth/email/verify": VerifyEmailView,
    "auth/password/request": RequestCodeView,
    "auth/password/reset": NewPasswordView,
}
own = [
    path(f"{client.value}/v1/{route}", view.as_api_view(client=client))
    for client in Client
    for route, view in own_views.items()
]
urlpatterns: list[URLPattern | URLResolver] = [*own, path("", include("allauth.headless.urls"))]
check_all(urlpatterns)
