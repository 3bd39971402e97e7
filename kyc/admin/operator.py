"""Returns the operator of a request, for the services."""

from __future__ import annotations

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from accounts.models import User
from core.console.history import actor_of


def operator(request: HttpRequest) -> User:
    user = actor_of(request)
    if not isinstance(user, User):
        raise PermissionDenied
    return user
