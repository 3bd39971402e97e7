"""Whose request it is, as far as that is known without a query."""

from functools import partial
from typing import Any, cast

from django.contrib.auth import get_user
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from observability.telemetry.request import telemetry_of


class UserMiddleware(AuthenticationMiddleware):
    """Makes `request.user` as Django does, and keeps a user that was loaded in the request's telemetry.

    Log line, span and error event name that user. They do not ask for `request.user`, which would read
    session and user from the database when no view has done so.
    """

    def process_request(self, request: HttpRequest) -> None:
        super().process_request(request)
        request.user = cast("Any", SimpleLazyObject(partial(load_user, request)))


def load_user(request: HttpRequest) -> Any:
    """Return the user of the session, or AnonymousUser, from the database."""
    user = get_user(request)
    if user.is_authenticated:
        telemetry_of(request).user = user
    return user
