"""Authenticates requests to the API: apps by session token, browsers by cookie.

Only active users with a verified e-mail address are accepted.
"""

from __future__ import annotations

from typing import Any

from allauth.headless.internal.sessionkit import authenticate_by_x_session_token
from django.conf import settings
from django.http import HttpRequest
from ninja.security import APIKeyCookie, APIKeyHeader
from ninja.utils import check_csrf

from accounts.addresses import has_verified
from accounts.models import User
from amani import throttling
from amani.errors import CsrfFailed, EmailNotVerified
from observability.telemetry.request import telemetry_of

SAFE_METHODS = ("GET", "HEAD", "OPTIONS", "TRACE")  # change nothing, so Django asks no token for them


class SessionToken(APIKeyHeader):
    """Authenticates by token, and sets `request.session`, which holds the time of the last authentication."""

    param_name = "X-Session-Token"
    openapi_description = "`meta.session_token` from the sign-in at `/_allauth/app/v1/auth/login`."

    def authenticate(self, request: HttpRequest, key: str | None) -> User | None:
        found = authenticate_by_x_session_token(key) if key else None
        if found is None:
            return None
        user, request.session = found
        request.user = user
        telemetry_of(request).user = user
        return admitted(request, user)


class SessionCookie(APIKeyCookie):
    """Authenticates by session cookie, counts the request, and only then checks the CSRF token.

    Ninja's own class checks the token first, so that a request without a session would get 403 and not 401.
    """

    param_name = settings.SESSION_COOKIE_NAME
    openapi_description = (
        "The session cookie of a browser, from the sign-in at `/_allauth/browser/v1/auth/login`. "
        "Requests that change data must send the value of the cookie `csrftoken` as the header `X-CSRFToken`."
    )

    def _get_key(self, request: HttpRequest) -> str | None:
        return request.COOKIES.get(self.param_name)

    def authenticate(self, request: HttpRequest, key: str | None) -> User | None:
        user: Any = request.user
        if not key or not user.is_authenticated:
            return None
        person = admitted(request, user)
        if request.method not in SAFE_METHODS and not has_csrf_token(request):
            raise CsrfFailed
        return person


def has_csrf_token(request: HttpRequest) -> bool:
    """Returns whether the header has the token. Django alone would also look for it in the body."""
    return settings.CSRF_HEADER_NAME in request.META and not check_csrf(request)


def admitted(request: HttpRequest, user: User) -> User:
    """Returns the user after counting the request. Raises EmailNotVerified or TooManyRequests.

    Runs before the body is read, so that refused uploads cost nothing.
    """
    if not has_verified(user=user, email=user.email):
        raise EmailNotVerified
    throttling.count_user(user.pk)
    if request.content_type == "multipart/form-data":
        throttling.count_upload(user.pk)
    return user
