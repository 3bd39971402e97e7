"""Who may use the API: active people with a verified address; apps by token, browsers by cookie."""

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


class SessionToken(APIKeyHeader):
    """Also makes the token's session the request's, which knows when the person last proved who they are."""

    param_name = "X-Session-Token"
    openapi_description = "What `meta.session_token` said after the sign-in at `/_allauth/app/v1/auth/login`."

    def authenticate(self, request: HttpRequest, key: str | None) -> User | None:
        found = authenticate_by_x_session_token(key) if key else None
        if found is None:
            return None
        user, request.session = found
        request.user = user
        request.__dict__["_cached_user"] = user  # where the access line and Sentry look
        return admitted(request, user)


class SessionCookie(APIKeyCookie):
    """Ninja's own asks for the CSRF token first, so that strangers would get 403 instead of 401."""

    param_name = settings.SESSION_COOKIE_NAME
    openapi_description = (
        "The session of a browser, after the sign-in at `/_allauth/browser/v1/auth/login`. "
        "Whatever changes something needs the header `X-CSRFToken` with the value of the cookie `csrftoken`."
    )

    def _get_key(self, request: HttpRequest) -> str | None:
        return request.COOKIES.get(self.param_name)

    def authenticate(self, request: HttpRequest, key: str | None) -> User | None:
        user: Any = request.user
        if not key or not user.is_authenticated:
            return None
        if check_csrf(request):
            raise CsrfFailed
        return admitted(request, user)


def admitted(request: HttpRequest, user: User) -> User:
    """Before anything of the body is read, so that files that are too many cost nothing."""
    if not has_verified(user=user, email=user.email):
        raise EmailNotVerified
    throttling.count_user(user.pk)
    if request.content_type == "multipart/form-data":
        throttling.count_upload(user.pk)
    return user
