"""Knows devices again from which a user has signed in, so that failures of strangers don't lock the user out.

After a sign-in, a browser gets a cookie and an app a header with a signed token, and sends it with the next
sign-in. Without the password the token is worth nothing: it only decides where failures are counted. It ends
with the state of the account (accounts/pending.py); the device that made the change gets a new one.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import timedelta
from typing import Any, cast

from allauth.account.signals import password_changed, password_reset, password_set
from allauth.core.internal.httpkit import is_headless_request
from allauth.headless.constants import Client
from django.conf import settings
from django.contrib.auth.signals import user_logged_in
from django.core import signing
from django.dispatch import receiver
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.crypto import constant_time_compare

from accounts.models import User
from accounts.pending import state_of

COOKIE = "amani_device"
HEADER = "X-Device-Token"
SALT = "accounts.known_devices"
AGE = timedelta(days=90)

View = Callable[[HttpRequest], HttpResponseBase]


def device_of(request: HttpRequest, email: str) -> str:
    """Returns the id of the device, if this user has signed in from it, else "".

    A session in which the user is signed in is a known device too.
    """
    if request.user.is_authenticated and request.user.email == email:
        return f"session of {request.user.pk}"
    token = request.headers.get(HEADER) or request.COOKIES.get(COOKIE)
    if not token:
        return ""
    try:
        user_id, device, state = signing.loads(token, salt=SALT, max_age=AGE)
    except signing.BadSignature:
        return ""
    user = User.objects.filter(pk=user_id, email=email).first()
    return device if user is not None and constant_time_compare(state, state_of(user)) else ""


@receiver(
    [user_logged_in, password_changed, password_set, password_reset], dispatch_uid="accounts.known_devices"
)
def remember(request: HttpRequest, user: User, **_: Any) -> None:
    """Gives the device a token of the user with the response, see KnownDeviceMiddleware."""
    cast("Any", request).known_device_of = user


def forget(request: HttpRequest) -> None:
    cast("Any", request).known_device_of = None


def token_for(user: User) -> str:
    return signing.dumps([user.pk, secrets.token_urlsafe(12), state_of(user)], salt=SALT)


def KnownDeviceMiddleware(get_response: View) -> View:  # noqa: N802  (named as a class, like Django's own)
    """Adds the token to the response to a sign-in, or to a change of the account by its user."""

    def give_token(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        user: User | None = getattr(request, "known_device_of", None)
        if user is None:
            return response
        if is_headless_request(request) == Client.APP:
            response.headers[HEADER] = token_for(user)
        else:
            response.set_cookie(
                COOKIE,
                token_for(user),
                max_age=AGE,
                secure=settings.SESSION_COOKIE_SECURE,
                httponly=True,
                samesite="Lax",
            )
        return response

    return give_token
